// The search view: a query, its answer, and feedback on it.

import { drawAnswer, drawNothing } from './answers.js';
import { search as ask } from './api.js';
import { card, isClass } from './cards.js';
import { $, complain, say } from './dom.js';
import { downloadMenu } from './download.js';
import { Grid } from './grid.js';
import { describeQuery, drawQuery, imagesOf } from './query.js';
import { runRow } from './runs.js';
import { recallEntry, isSelected, select } from './selection.js';
import { normalize, settings, setUpSettings, showSettings, summarize } from './settings.js';
import { recall, uploads } from './uploads.js';
import { openViewer } from './viewer.js';
import { showWelcome } from './welcome.js';

const PART = 50; // results that are asked for at a time

let current = {};   // the state that is shown
let first = null;   // the reply that is shown
let search = null;  // how to search again: with what is changed of the state, and with what delay
let label = '';     // the class of the query, if it has one
const anyway = new Set(); // queries whose nearest images are wanted although none is similar

const grid = new Grid($('results'), {
  size: PART,
  draw: (neighbor, i) => card(neighbor, settings(), {
    likeness: neighbor.likeness, words: grid.peek(i - 1)?.words === neighbor.words ? '' : neighbor.words,
    another: isClass(label) && isClass(neighbor.label) && neighbor.label !== label, feedback: true,
  }),
  open: (list, i) => {
    const images = imagesOf(current);
    const query = images.length === 1 ? { ...images[0], entry: images[0].key ? first.query : null } : null;
    openViewer(list, i, { query, wish });
  },
});

export function setUpSearch(info, counts, visit) {
  search = (changed, { delay = 0, replace = true } = {}) => visit({ ...current, ...changed }, { replace, delay });
  setUpSettings(info, counts, (delay) => search(settings(), { delay }));
  $('results').addEventListener('click', ({ target }) => {
    const kind = target.closest('[data-feedback]')?.dataset.feedback;
    if (kind) wish(kind, target.closest('[data-key]').dataset.key);
  });
  const all = () => first.answer.neighbors.map(({ key }) => key);
  $('result-tools').replaceChildren(downloadMenu('similar', () => first.answer.neighbors.map((each) => ({ ...recallEntry(each.key), ...each })), {
    title: 'Results', more: [['Select all', () => select(all(), !all().every(isSelected))]],
  }));
}

/** Search nearer to a result, or farther from it. */
function wish(kind, key) {
  const other = kind === 'like' ? 'unlike' : 'like';
  search({ [kind]: [...current[kind], key], [other]: current[other].filter((each) => each !== key) }, { replace: false });
}

const isAsked = ({ key, upload, like }) => key.length + upload.length + like.length > 0;
const idOf = ({ key, upload, like, unlike }) => JSON.stringify([key, upload, like, unlike]);

/** Show a state as soon as its answer has come; until then, and if there is none, all stays as it is. */
export async function showSearch(given, info, { signal, commit }) {
  const state = normalize({ ...given, upload: await recall(given.upload) }, info);
  signal.throwIfAborted();
  const isLost = given.upload.length > state.upload.length;
  if (!isAsked(state)) {
    commit();
    show(state);
    await showWelcome(info, { signal });
  } else {
    say('Searching …');
    await showAnswer(state, info.limits, { signal, commit });
  }
  if (isLost) complain('The picture from this search is no longer stored. Please choose it again.');
}

async function showAnswer(state, limits, { signal, commit }) {
  const id = idOf(state);
  const query = { ...state, files: state.upload.map((number) => uploads.get(number).file) };
  const isAny = anyway.has(id) || state.region;
  const fields = {
    label: state.label, split: state.split, finding: state.finding, look: state.look, ...(isAny && { any: true }),
  };
  const k = Math.min(PART, limits.k);
  const [reply, beside] = await Promise.all([
    ask(query, { ...fields, k }, { signal }),
    state.beside && ask(query, { ...fields, k, run: 'beside' }, { signal }),
  ]);
  commit();
  show(state);
  first = reply;
  const labels = new Set(reply.queries.map((each) => each.label));
  label = labels.size === 1 && !state.region ? reply.queries[0].label : '';
  const { neighbors, matches } = reply.answer;
  const more = async (page) => (await ask(query, { ...fields, k, offset: (page - 1) * k }, {})).answer.neighbors;
  grid.show(beside ? 0 : Math.min(neighbors.length && matches, limits.results), more, neighbors);
  $('beside-results').replaceChildren(...(beside ? [runRow(null, reply.answer.neighbors, beside.answer.neighbors)] : []));
  $('result-tools').hidden = !neighbors.length;
  $('results').setAttribute('aria-label', reply.similar ? 'Similar images' : 'Nearest images');
  const showAnyway = () => {
    anyway.add(id);
    search({});
  };
  if (neighbors.length) drawAnswer(reply, state, label);
  else drawNothing(reply, { showAnyway, widen: () => search({ label: '', split: '', finding: '' }) });
  if (state.key.length + state.upload.length === 1) describeQuery(reply.query, { signal }).catch(() => {});
}

/** Have all but the answer say what a state says. */
function show(state) {
  current = state;
  showSettings(state);
  $('search').classList.toggle('asked', isAsked(state));
  $('welcome').hidden = isAsked(state);
  $('found').hidden = $('add').hidden = !isAsked(state);
  $('settings-summary').textContent = summarize(state);
  if (isAsked(state)) drawQuery(state, (changed, { replace = false } = {}) => search(changed, { replace }));
}
