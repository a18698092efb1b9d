// The search view: the query and the two indexes' answers, or what a first visitor sees.

import { getImages, search as ask } from './api.js';
import { begin, card, finish, isClass, picturesIn, scaleBars } from './cards.js';
import { $, button, complain, count, element, say } from './dom.js';
import { downloadMenu } from './download.js';
import { goOn, stop } from './endless.js';
import { describeQuery, drawQuery } from './query.js';
import { isSelected, recallEntry, select } from './selection.js';
import { NAMES, settings, setUpSettings, showSettings, summarize, TITLES } from './settings.js';
import { recall, uploads } from './uploads.js';

const SAMPLES = 8;
const PART = 30; // results that are loaded at a time, after the first

let current = {};   // the state that is shown
let drawn = '';     // the query whose neighbors are on the page
let results = [];   // the neighbors on the page
let search = null;  // how to search again: with what is changed of the state, and with what delay
const anyway = new Set(); // queries whose nearest images are wanted although none is similar
let samples = null; // chosen once, so that Back leads to the same ones

export function setUpSearch(info, counts, visit) {
  search = (changed, { delay = 0, replace = true } = {}) => visit({ ...current, ...changed }, { replace, delay });
  setUpSettings(info, counts, (delay) => search(settings(), { delay }));
  $('results').addEventListener('click', giveFeedback);
  $('results').addEventListener('keydown', (event) => {
    const name = { '+': 'More', '-': 'Less' }[event.key];
    const here = name && event.target.closest('.card');
    here?.parentElement.querySelector(`[data-feedback=${name === 'More' ? 'like' : 'unlike'}]`).click();
  });
  const all = () => results.map(({ key }) => key);
  $('result-tools').replaceChildren(downloadMenu('similar', () => results.map((each) => ({ ...recallEntry(each.key), ...each })), {
    title: 'Results', more: [['Select all', () => select(all(), !all().every(isSelected))]],
  }));
}

/** Search nearer to a result, or farther from it; a second time, no more. */
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
  if (!isAsked) return showWelcome(info, options);

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
  $('comparison').replaceChildren();
  $('missed').hidden = true;
  $('result-tools').hidden = true;
  $('beside-results').hidden = true;
  $('found').classList.remove('two');
}

async function showAnswers(state, id, most, options) {
  const query = { ...state, files: state.upload.map((number) => uploads.get(number).file) };
  const { label, split, finding, index, look } = state;
  const fields = { k: settings().k, label, split, finding, index, look, ...(anyway.has(id) && { any: true }) };
  const compare = look === '' && !state.beside && { compare: true };
  const [reply, beside] = await Promise.all([
    ask(query, { ...fields, ...compare }, options),
    state.beside && ask(query, { ...fields, run: 'beside' }, options),
  ]);
  const relation = relationTo(reply.queries ?? [reply.query]);
  const draw = drawerOf(state, relation);
  results = reply.answer.neighbors;
  drawAnswer(reply, draw, id);
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

function drawerOf(state, relation) {
  const pictures = new Map([...picturesIn($('missed-images')), ...picturesIn($('results'))]);
  return (neighbor, note = '', feedback = true) => {
    const image = pictures.get(neighbor.key);
    pictures.delete(neighbor.key); // an element can be in one place only
    return card(neighbor, settings(), {
      similarity: neighbor.cosine, relation: relation(neighbor.label), note, image, feedback,
    });
  };
}

async function showWelcome({ data }, options) {
  drawn = '';
  if (!samples) {
    say('');
    begin($('samples'), Math.min(SAMPLES, data.images));
    const pages = await Promise.all(drawSamples(data.classes).map((page) => getImages({ ...page, size: 1 }, options)));
    samples = pages.flatMap((page) => page.images);
  }
  finish($('samples'), samples.map((image) => card(image, settings())));
  say('');
}

/** Draws images of as many folders as there are, several of each if there are few: folder and place within it, from 1. */
function drawSamples(folders) {
  const filled = folders.filter(({ images }) => images).sort(() => Math.random() - 0.5).slice(0, SAMPLES);
  return filled.flatMap(({ name, images }, i) => {
    const wanted = Math.min(images, Math.ceil((SAMPLES - i) / filled.length));
    const first = Math.floor(Math.random() * images);
    return Array.from({ length: wanted }, (_, j) => ({
      label: name, page: 1 + (first + Math.floor((j * images) / wanted)) % images,
    }));
  });
}

function drawAnswer(reply, draw, id) {
  const { answer, comparison, similar } = reply;
  const other = comparison && NAMES[comparison.index];
  const here = new Set(answer.neighbors.map(({ key }) => key));
  const there = new Set((comparison ?? answer).neighbors.map(({ key }) => key));
  const missed = (comparison ?? answer).neighbors.filter(({ key }) => !here.has(key));
  const extra = answer.neighbors.filter(({ key }) => !there.has(key));
  const shown = [...answer.neighbors, ...missed];
  if (shown.length) scaleBars([$('results'), $('missed-images'), $('beside-images')], shown.map(({ cosine }) => cosine));

  finish($('results'), answer.neighbors.map((each) => draw(each, there.has(each.key) ? '' : `Not found by ${other}`)));
  $('missed').hidden = missed.length === 0;
  $('missed-title').textContent = `Found by ${other} only`;
  $('missed-images').replaceChildren(...missed.map((each) => draw(each, '', false)));
  drawTimes(reply, other, extra.length, missed.length);
  $('results').setAttribute('aria-label', similar ? 'Similar images' : 'Nearest images');
  $('result-tools').hidden = !answer.neighbors.length;
  if (!answer.neighbors.length) $('results').replaceChildren(element('li', { className: 'nothing' }, ...explainNothing(reply, id)));
  say(summaryOf(answer, similar));
}

function drawTimes({ answer, comparison, embed_milliseconds: embedding }, other, extra, missed) {
  const row = (title, what, milliseconds) => element('tr', {},
    element('th', { scope: 'row' }, title), element('td', {}, what), element('td', {}, duration(milliseconds)));
  const rows = [answer, comparison].filter(Boolean).map(({ index, source, milliseconds }) => row(TITLES[index], source, milliseconds));
  if (embedding != null) rows.push(row('Embedding', 'of the picture', embedding));
  $('comparison').replaceChildren(element('table', {}, element('tbody', {}, ...rows)),
    comparison && answer.neighbors.length ? element('p', {}, difference(answer, other, extra, missed)) : '');
}

/** The answer of the other run, and which of the images only one of the two has found. */
function drawBeside({ answer }, beside, draw) {
  $('beside-results').hidden = !beside;
  $('found').classList.toggle('two', Boolean(beside));
  if (!beside) return;
  const place = (neighbors) => new Map(neighbors.map(({ key }, i) => [key, i + 1]));
  const [ours, theirs] = [place(answer.neighbors), place(beside.answer.neighbors)];
  const note = (mine, others, key) => {
    if (!others.has(key)) return 'Only here';
    return others.get(key) === mine.get(key) ? '' : `There ${ordinal(others.get(key))}`;
  };
  scaleBars([$('results'), $('beside-images')], [...answer.neighbors, ...beside.answer.neighbors].map(({ cosine }) => cosine));
  $('results').replaceChildren(...answer.neighbors.map((each) => draw(each, note(ours, theirs, each.key))));
  $('beside-images').replaceChildren(...beside.answer.neighbors.map((each) => draw(each, note(theirs, ours, each.key), false)));
  const shared = [...ours.keys()].filter((key) => theirs.has(key)).length;
  say(`${shared} of ${count(answer.neighbors.length, 'image')} found by both runs`);
}

const ordinal = (place) => `${place}${{ 1: 'st', 2: 'nd', 3: 'rd' }[place % 100 > 10 && place % 100 < 14 ? 0 : place % 10] ?? 'th'}`;

function summaryOf({ index, neighbors, milliseconds }, similar) {
  if (!similar) return neighbors.length ? 'Nothing similar is indexed. These are only the nearest.' : 'Nothing similar is indexed.';
  if (!neighbors.length) return 'Nothing found.';
  return `${count(neighbors.length, 'similar image')} by ${NAMES[index]} in ${duration(milliseconds)}`;
}

/** What to say in place of results that there are not. */
function explainNothing({ similar, novelty }, id) {
  if (similar) {
    return [element('h3', {}, 'There is no other image like this'),
      element('p', {}, 'None has what the settings ask for: class, split or finding.')];
  }
  const { distance, max_distance: most } = novelty;
  const reason = `The nearest indexed image is at a distance of ${distance.toFixed(4)}. `
    + `Up to ${most.toFixed(4)}, an image counts as similar.`;
  const show = () => {
    anyway.add(id);
    search({});
  };
  return [element('h3', {}, 'Nothing similar is indexed'), element('p', {}, reason),
    button('Show the nearest anyway', show, { className: 'button strong' })];
}

function difference({ index, neighbors }, other, extra, missed) {
  if (!extra && !missed) return 'Both found the same neighbors.';
  return `${extra} of ${count(neighbors.length, 'neighbor')} found by ${NAMES[index]} only, ${missed} by ${other} only.`;
}

const duration = (milliseconds) => `${milliseconds.toFixed(milliseconds < 10 ? 2 : 0)} ms`;
