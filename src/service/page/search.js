// The search view: a query, its answers as they come and go on, and feedback on them.

import { drawAnswer, drawBeside } from './answers.js';
import { search as ask } from './api.js';
import { begin, card, finish, isClass, picturesIn, scaleBars } from './cards.js';
import { $, complain, count, say } from './dom.js';
import { downloadMenu } from './download.js';
import { goOn, stop } from './endless.js';
import { describeQuery, drawQuery } from './query.js';
import { isSelected, recallEntry, select } from './selection.js';
import { settings, setUpSettings, showSettings, summarize } from './settings.js';
import { recall, uploads } from './uploads.js';
import { showWelcome } from './welcome.js';

const PART = 30; // results that are loaded at a time, after the first

let current = {};   // the state that is shown
let drawn = '';     // the query whose neighbors are on the page
let results = [];   // the neighbors on the page
let search = null;  // how to search again: with what is changed of the state, and with what delay
const anyway = new Set(); // queries whose nearest images are wanted although none is similar

export function setUpSearch(info, counts, visit) {
  search = (changed, { delay = 0, replace = true } = {}) => visit({ ...current, ...changed }, { replace, delay });
  setUpSettings(info, counts, (delay) => search(settings(), { delay }));
  $('results').addEventListener('click', giveFeedback);
  const all = () => results.map(({ key }) => key);
  $('result-tools').replaceChildren(downloadMenu('similar', () => results.map((each) => ({ ...recallEntry(each.key), ...each })), {
    title: 'Results', more: [['Select all', () => select(all(), !all().every(isSelected))]],
  }));
}

/** Search nearer to a result, or farther from it. */
function giveFeedback({ target }) {
  const kind = target.closest('[data-feedback]')?.dataset.feedback;
  if (!kind) return;
  const { key } = target.closest('[data-key]').dataset;
  const other = kind === 'like' ? 'unlike' : 'like';
  search({ [kind]: [...current[kind], key], [other]: current[other].filter((each) => each !== key) }, { replace: false });
}

const idOf = ({ key, upload, like, unlike, region }) => JSON.stringify([key, upload, like, unlike, region]);

export async function showSearch(given, info, options) {
  const set = showSettings(given, info);
  const state = { ...set, upload: await recall(given.upload) };
  options.signal.throwIfAborted();
  current = state;
  const isAsked = state.key.length + state.upload.length + state.like.length > 0;
  $('search').classList.toggle('asked', isAsked);
  $('welcome').hidden = isAsked;
  $('found').hidden = $('add').hidden = !isAsked;
  $('settings-summary').textContent = summarize(state);
  if (given.upload.length > state.upload.length) {
    complain('The picture of this search is not kept any more. Please choose it again.');
  }
  if (!isAsked) {
    drawn = '';
    return showWelcome(info, options);
  }

  const id = idOf(state);
  const same = drawn === id;
  if (!same) {
    drawn = '';
    drawQuery(state, (changed, { replace = false } = {}) => search(changed, { replace }));
    clear();
  }
  stop($('more-results'));
  begin($('results'), settings().k, same);
  say('Searching …');
  try {
    await showAnswers(state, id, info.limits.results, options);
    drawn = id;
  } catch (error) {
    if (error.name !== 'AbortError') {
      drawn = '';
      finish($('results'));
      clear();
    }
    throw error;
  }
}

function clear() {
  $('result-tools').hidden = true;
  $('beside-results').hidden = true;
  $('found').classList.remove('two');
}

async function showAnswers(state, id, most, options) {
  const query = { ...state, files: state.upload.map((number) => uploads.get(number).file) };
  const { label, split, finding, index, look } = state;
  const fields = { k: settings().k, label, split, finding, index, look, ...(anyway.has(id) && { any: true }) };
  const [reply, beside] = await Promise.all([
    ask(query, fields, options),
    state.beside && ask(query, { ...fields, run: 'beside' }, options),
  ]);
  const draw = drawerOf(relationTo(reply.queries));
  results = reply.answer.neighbors;
  drawAnswer(reply, draw, () => {
    anyway.add(id);
    search({});
  });
  drawBeside(reply, beside, draw);
  if ((state.key.length + state.upload.length) === 1) describeQuery(reply.query, options).catch(() => {});
  const total = Math.min(reply.answer.matches, most);
  if (state.beside || !results.length || results.length >= total) return;
  const more = () => showMore(query, fields, draw, total, options);
  let isMore = true;
  while (isMore && results.length < (options.shown ?? 0)) isMore = await more();
  if (isMore) goOn($('more-results'), more, options.signal);
}

/** Show the next results, of `total` in all; says whether there are more. */
async function showMore(query, fields, draw, total, options) {
  const part = { k: Math.min(PART, total - results.length), offset: results.length };
  const { answer } = await ask(query, { ...fields, ...part }, options);
  results = [...results, ...answer.neighbors];
  $('results').append(...answer.neighbors.map((neighbor) => draw(neighbor)));
  scaleBars([$('results')], results.map(({ cosine }) => cosine));
  say(`${count(results.length, 'similar image')} of ${answer.matches.toLocaleString('en')} shown`);
  return answer.neighbors.length > 0 && results.length < total;
}

/** Whether an image is of the class of the queries, where they have one in common. */
function relationTo(queries) {
  const labels = new Set(queries.map(({ label }) => label));
  const [label] = labels;
  if (labels.size !== 1 || !isClass(label)) return () => undefined;
  return (other) => isClass(other) && (other === label ? 'same' : 'another');
}

/** What makes a card of a neighbor, with a note and its picture if that is on the page already. */
function drawerOf(relation) {
  const pictures = picturesIn($('results'));
  return (neighbor, note = '', feedback = true) => {
    const image = pictures.get(neighbor.key);
    pictures.delete(neighbor.key); // an element can be in one place only
    return card(neighbor, settings(), {
      similarity: neighbor.cosine, relation: relation(neighbor.label), note, image, feedback,
    });
  };
}
