// The search view: a query, its answer in pictures and in words, and feedback on it; or some images to start from.

import { write } from './address.js';
import { getImages, search as ask } from './api.js';
import { card, isClass } from './cards.js';
import { $, breakable, button, complain, count, element, say } from './dom.js';
import { downloadMenu } from './download.js';
import { Grid } from './grid.js';
import { describeQuery, drawQuery, imagesOf } from './query.js';
import { runRow } from './runs.js';
import { recallEntry, isSelected, select } from './selection.js';
import { normalize, settings, setUpSettings, showSettings, summarize } from './settings.js';
import { recall, uploads } from './uploads.js';
import { openViewer } from './viewer.js';

const PART = 50; // results that are asked for at a time
const JUDGED = 10; // of the most similar images, by which the class is judged
const SAMPLES = 24; // images that a first visitor may start from

let current = {};   // the state that is shown
let first = null;   // the reply that is shown
let search = null;  // how to search again: with what is changed of the state, and with what delay
let label = '';     // the class of the query, if it has one
let samples = null; // those images, chosen once, so that Back leads to the same ones
const anyway = new Set(); // queries whose nearest images are wanted although none is similar

const grid = new Grid($('results'), {
  size: PART,
  draw: (neighbor, i) => card(neighbor, settings(), {
    likeness: neighbor.likeness, words: grid.peek(i - 1)?.words === neighbor.words ? '' : neighbor.words,
    another: isClass(label) && isClass(neighbor.label) && neighbor.label !== label, feedback: true,
  }),
  open: (list, i) => {
    const [{ key, file, ...image } = {}, ...others] = imagesOf(current);
    const asked = { key, image: file, region: current.region };
    const query = (key || file) && !others.length ? { ...image, entry: key ? first.query : null, asked } : null;
    openViewer(list, i, { query, wish });
  },
});
const start = new Grid($('samples'), { draw: (image) => card(image, settings()) });

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
    await showSamples(info.data.images, { signal });
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

// The answer in words

/** Draw the answer; `label` is the class of the query, if it has one. */
function drawAnswer({ answer, query, similar, novelty }, state, label) {
  const { neighbors, matches, milliseconds } = answer;
  const lines = [];
  const same = neighbors[0].words === 'same picture' && !state.region ? neighbors[0] : null;
  if (same) {
    lines.push([query.key ? 'The same picture is indexed again as ' : 'This very picture is indexed as ',
      element('a', { href: write({ ...state, upload: [], key: [same.key] }) }, ...breakable(same.key)), '.']);
  }
  if (!similar) lines.push([`No close match${state.region ? ' for this region' : ''}. ${nearness(novelty)}`]);
  else if (!state.label) lines.unshift(verdict(neighbors.slice(0, JUDGED), label));
  $('answer').replaceChildren(...lines.filter(Boolean).map((line) => element('p', {}, ...line)));
  say(`${count(matches, 'image')} by likeness (${milliseconds.toFixed(2)} ms)`);
}

/** What the nearest images are, and how many of them: "skirt: 9 of 10". */
function verdict(nearest, label) {
  const sizes = new Map();
  for (const each of nearest) if (isClass(each.label)) sizes.set(each.label, (sizes.get(each.label) ?? 0) + 1);
  if (!sizes.size) return null;
  const [name, size] = [...sizes].sort((a, b) => b[1] - a[1])[0];
  const but = isClass(label) && name !== label ? element('span', { className: 'surprise' }, ` This image is labeled ${label}.`) : null;
  return [element('b', {}, name), `: ${size} of ${nearest.length}`, but];
}

function nearness(novelty) {
  if (!novelty || novelty.distance <= novelty.max_distance) return '';
  return novelty.distance <= 1.15 * novelty.max_distance ? 'The nearest image is just outside the limit.' : 'The nearest image is far outside the limit.';
}

/** What to say in place of results, and what to do about it. */
function drawNothing({ similar, novelty }, { showAnyway, widen }) {
  const parts = similar
    ? [element('h3', {}, 'Nothing found'), element('p', {}, 'No other image has the chosen class, split or finding.'),
      button('Search all images', widen, { className: 'button strong' })]
    : [element('h3', {}, 'No close match'), element('p', {}, nearness(novelty)),
      button('Show the nearest anyway', showAnyway, { className: 'button strong' })];
  $('answer').replaceChildren(element('div', { className: 'nothing' }, ...parts));
  say(similar ? 'Nothing found.' : 'No close match');
}

// Without a query

/** Show images to start from, drawn from all over the list, and so from as many classes as there are. */
async function showSamples(total, options) {
  const rows = Array.from({ length: SAMPLES }, (_, i) => Math.floor(((i + Math.random()) * total) / SAMPLES));
  samples ??= (await getImages({ row: [...new Set(rows)] }, options)).images;
  start.showAll(samples);
  say('');
}
