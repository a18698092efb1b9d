// The search view: the query, the settings, the two indexes' answers, and what a first visitor sees.

import { fileUrl, getImages, getSimilar, searchWith, thumbnailUrl } from './api.js';
import { begin, breakable, card, finish, picture } from './cards.js';
import { $, complain, count, element, say } from './dom.js';
import { uploads } from './uploads.js';

const NAMES = { exact: 'exact search', annoy: 'Annoy', faiss: 'Faiss' };
const TITLES = { ...NAMES, exact: 'Exact' };
const SAMPLES = 8;

let current = {};   // the state that is shown
let drawn = '';     // the query whose neighbors are on the page
let ownLook = null; // weight of the visual part in the indexes, if there is one to choose
let search = null;   // how to search again
const anyway = new Set(); // uploads whose nearest images are wanted although none is similar
let samples = null; // chosen once, so that Back leads to the same ones

/** What the controls say, for a search to go on with. */
export function settings() {
  return {
    k: Number($('k').value),
    label: $('label').value,
    index: document.querySelector('[name=index]:checked').value,
    look: chosenLook(),
  };
}

/** The look that the slider says, as a share; nothing where that is the indexes' own. */
function chosenLook() {
  const share = Number($('look').value) / 100;
  return ownLook === null || share === ownLook ? '' : share;
}

function showLook(look) {
  $('look').value = 100 * (look === '' ? ownLook ?? 0 : look);
  $('look-value').value = `${$('look').value} %`;
  $('indexes').disabled = look !== '';
}

export function setUpSearch(info, visit) {
  const { backend } = info.indexes.approximate;
  $('approximate').value = backend;
  $('approximate-title').textContent = TITLES[backend];
  $('k').max = Math.min(info.limits.k, 50);
  $('label').append(...info.data.classes.map(({ name, images }) =>
    element('option', { value: name }, `${name} (${images.toLocaleString('en')})`)));
  search = visit;
  ownLook = info.model.visual_weight;
  $('look-control').hidden = ownLook === null;
  $('look').step = ownLook !== null && (100 * ownLook) % 5 ? 1 : 5;
  const change = (delay) => visit({ ...current, ...settings() }, { replace: true, delay });
  $('k').addEventListener('input', () => {
    $('k-value').value = $('k').value;
    change(200);
  });
  $('look').addEventListener('input', () => {
    showLook(chosenLook());
    change(100);
  });
  for (const control of [$('label'), ...document.querySelectorAll('[name=index]')]) {
    control.addEventListener('change', () => change(0));
  }
}

export async function showSearch(state, info, options) {
  current = state;
  const upload = uploads.get(state.upload);
  const asked = state.key || (upload && state.upload);
  $('k').value = state.k;
  $('k-value').value = $('k').value;
  $('label').value = state.label;
  showLook(state.look);
  const exact = document.querySelector('[name=index][value=exact]');
  (state.index === 'exact' ? exact : $('approximate')).checked = true;
  $('welcome').hidden = Boolean(asked);
  $('found').hidden = !asked;
  if (!asked) {
    if (state.upload) complain('The picture of this search was not kept when the page was reloaded. Please give it again.');
    return showWelcome(info, options);
  }

  const same = drawn === asked;
  if (!same) {
    drawn = '';
    drawQuery(upload ? { name: upload.file.name, source: upload.url } : { name: state.key, source: thumbnailUrl(state.key) });
    $('comparison').replaceChildren();
    $('missed').hidden = true;
  }
  begin($('results'), settings().k, same);
  say('Searching …');
  const fields = { ...settings(), label: state.label, compare: state.look === '' };
  if (state.look !== '') fields.index = 'exact';
  if (anyway.has(state.upload)) fields.any = true;
  try {
    const reply = await (upload ? searchWith(upload.file, fields, options) : getSimilar({ key: state.key, ...fields }, options));
    describeQuery(reply.query);
    drawAnswer(reply);
    drawn = asked;
  } catch (error) {
    if (error.name !== 'AbortError') {
      drawn = '';
      finish($('results'));
      $('comparison').replaceChildren();
      $('missed').hidden = true;
    }
    throw error;
  }
}

async function showWelcome({ data }, options) {
  drawn = '';
  if (!samples) {
    say('');
    begin($('samples'), Math.min(SAMPLES, data.classes.length));
    const classes = data.classes.filter(({ images }) => images).sort(() => Math.random() - 0.5).slice(0, SAMPLES);
    const pages = await Promise.all(classes.map(({ name, images }) =>
      getImages({ label: name, size: 1, page: 1 + Math.floor(Math.random() * images) }, options)));
    samples = pages.flatMap((page) => page.images);
  }
  finish($('samples'), samples.map((image) => card(image, settings())));
  say('');
}

function drawQuery({ name, source }) {
  const image = picture(source, { alt: `Query: ${name}` }, 'No preview of this format');
  $('query').replaceChildren(image, element('figcaption', {}, element('b', {}, ...breakable(name))));
}

function describeQuery({ key, label, width, height }) {
  const caption = $('query').querySelector('figcaption');
  const [name] = caption.children;
  const facts = [label, `${width} × ${height}`].filter(Boolean).join(' · ');
  const original = key && element('a', { href: fileUrl(key), target: '_blank', rel: 'noopener' }, 'Original');
  caption.replaceChildren(name, element('span', {}, facts), ...(original ? [original] : []));
}

function drawAnswer({ query, answer, comparison, embed_milliseconds: embedding, similar }) {
  const other = comparison && NAMES[comparison.index];
  const here = new Set(answer.neighbors.map(({ key }) => key));
  const there = new Set((comparison ?? answer).neighbors.map(({ key }) => key));
  const missed = (comparison ?? answer).neighbors.filter(({ key }) => !here.has(key));
  const extra = answer.neighbors.filter(({ key }) => !there.has(key));
  const relation = (label) => query.label && (label === query.label ? 'same' : 'another');
  const cards = (neighbors, note) => neighbors.map((neighbor) => card(neighbor, settings(), {
    similarity: neighbor.cosine,
    relation: relation(neighbor.label),
    note: note(neighbor),
  }));

  finish($('results'), cards(answer.neighbors, ({ key }) => (there.has(key) ? '' : `Not found by ${other}`)));
  $('missed').hidden = missed.length === 0;
  $('missed-title').textContent = `Found by ${other} only`;
  $('missed-images').replaceChildren(...cards(missed, () => ''));

  const rows = [answer, comparison].filter(Boolean).map(({ index, source, milliseconds }) => element('tr', {},
    element('th', { scope: 'row' }, TITLES[index]), element('td', {}, source), element('td', {}, duration(milliseconds))));
  if (embedding != null) {
    rows.push(element('tr', {}, element('th', { scope: 'row' }, 'Embedding'), element('td', {}, 'of the picture'),
      element('td', {}, duration(embedding))));
  }
  $('comparison').replaceChildren(element('table', {}, element('tbody', {}, ...rows)),
    comparison && answer.neighbors.length ? element('p', {}, difference(answer, other, extra.length, missed.length)) : '');
  if (!similar && !answer.neighbors.length) $('results').replaceChildren(element('li', { className: 'nothing' }, offerAnyway()));
  say(answer.neighbors.length === 0 ? 'Nothing similar is indexed.'
    : `${count(answer.neighbors.length, similar ? 'similar image' : 'nearest image')} found by ${NAMES[answer.index]} in ${duration(answer.milliseconds)}`);
}

function offerAnyway() {
  const button = element('button', { type: 'button' }, 'Show the nearest all the same');
  button.addEventListener('click', () => {
    anyway.add(current.upload);
    search({ ...current }, { replace: true });
  });
  return button;
}

function difference({ index, neighbors }, other, extra, missed) {
  if (!extra && !missed) return 'Both found the same neighbors.';
  return `${extra} of ${count(neighbors.length, 'neighbor')} found by ${NAMES[index]} only, ${missed} by ${other} only.`;
}

const duration = (milliseconds) => `${milliseconds.toFixed(milliseconds < 10 ? 2 : 0)} ms`;
