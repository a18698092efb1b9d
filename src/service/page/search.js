// The search view: the query, the settings, the two indexes' answers, and what a first visitor sees.

import { fileUrl, getImages, getSimilar, searchWith, thumbnailUrl } from './api.js';
import { begin, breakable, card, finish, isClass, picture, picturesIn } from './cards.js';
import { $, complain, count, element, say } from './dom.js';
import { uploads } from './uploads.js';

const NAMES = { exact: 'exact search', annoy: 'Annoy', faiss: 'Faiss' };
const TITLES = { ...NAMES, exact: 'Exact' };
const SAMPLES = 8;
const LEAST_PAUSE = 120; // milliseconds between two searches: browsers allow about a hundred addresses in ten seconds

let current = {};   // the state that is shown
let drawn = '';     // the query whose neighbors are on the page
let following = false; // whether searches follow the slider
let movedOn = false;   // whether it has moved since the latest of them
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
const chosenLook = () => lookOf(Number($('look').value) / 100);

const percent = (share) => Math.round(100 * share);

const lookOf = (share) => (share === '' || (ownLook !== null && percent(share) === percent(ownLook)) ? '' : share);

function showLook(look) {
  const shown = percent(look === '' ? ownLook ?? 0 : look);
  $('look').value = shown;
  $('look').setAttribute('aria-valuetext', `${shown} % same look, ${100 - shown} % same kind`);
  $('look-value').value = `${shown} %${look === '' ? ' (default)' : ''}`;
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
  const change = (delay) => visit({ ...current, ...settings() }, { replace: true, delay });
  $('k').addEventListener('input', () => {
    $('k-value').value = $('k').value;
    change(200);
  });
  $('look').addEventListener('input', () => {
    showLook(chosenLook());
    follow();
  });
  for (const control of [$('label'), ...document.querySelectorAll('[name=index]')]) {
    control.addEventListener('change', () => change(0));
  }
}

/** Search again and again while the slider moves, one search at a time, so that each gets to be seen. */
async function follow() {
  movedOn = true;
  if (following) return;
  following = true;
  while (movedOn) {
    movedOn = false;
    await Promise.all([search({ ...current, ...settings() }, { replace: true }), pause(LEAST_PAUSE)]);
  }
  following = false;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export async function showSearch(given, info, options) {
  const look = lookOf(given.look);
  const state = { ...given, look, index: look === '' ? given.index : 'exact' };
  current = state;
  const upload = uploads.get(state.upload);
  const asked = state.key || (upload && state.upload);
  $('k').value = state.k;
  $('k-value').value = $('k').value;
  $('label').value = state.label;
  showLook(look);
  const exact = document.querySelector('[name=index][value=exact]');
  (state.index === 'exact' ? exact : $('approximate')).checked = true;
  $('welcome').hidden = Boolean(asked);
  $('found').hidden = !asked;
  if (!asked) {
    if (state.upload) complain('The picture of this search was not kept when the page was reloaded. Please choose it again.');
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
  const fields = { ...settings(), label: state.label, look, compare: look === '' };
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

function drawAnswer({ query, answer, comparison, embed_milliseconds: embedding, similar, novelty }) {
  const other = comparison && NAMES[comparison.index];
  const here = new Set(answer.neighbors.map(({ key }) => key));
  const there = new Set((comparison ?? answer).neighbors.map(({ key }) => key));
  const missed = (comparison ?? answer).neighbors.filter(({ key }) => !here.has(key));
  const extra = answer.neighbors.filter(({ key }) => !there.has(key));
  const relation = (label) => isClass(query.label) && isClass(label) && (label === query.label ? 'same' : 'another');
  const pictures = new Map([...picturesIn($('missed-images')), ...picturesIn($('results'))]);
  const cards = (neighbors, note) => neighbors.map((neighbor) => card(neighbor, settings(), {
    similarity: neighbor.cosine,
    relation: relation(neighbor.label),
    note: note(neighbor),
    image: pictures.get(neighbor.key),
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
  $('results').setAttribute('aria-label', similar ? 'Similar images' : 'Nearest images');
  if (!similar && !answer.neighbors.length) $('results').replaceChildren(element('li', { className: 'nothing' }, ...offerAnyway(novelty)));
  say(summary(answer, similar));
}

function summary({ index, neighbors, milliseconds }, similar) {
  if (!similar) return neighbors.length ? 'Nothing similar is indexed. These are only the nearest.' : 'Nothing similar is indexed.';
  if (!neighbors.length) return 'There is no other image of this class.';
  return `${count(neighbors.length, 'similar image')} found by ${NAMES[index]} in ${duration(milliseconds)}`;
}

function offerAnyway({ distance, max_distance: most }) {
  const button = element('button', { type: 'button', className: 'button' }, 'Show the nearest anyway');
  button.addEventListener('click', () => {
    anyway.add(current.upload);
    search({ ...current }, { replace: true });
  });
  const reason = `The nearest indexed image is at a distance of ${distance.toFixed(4)}. Up to ${most.toFixed(4)}, an image counts as similar.`;
  return [element('p', {}, reason), button];
}

function difference({ index, neighbors }, other, extra, missed) {
  if (!extra && !missed) return 'Both found the same neighbors.';
  return `${extra} of ${count(neighbors.length, 'neighbor')} found by ${NAMES[index]} only, ${missed} by ${other} only.`;
}

const duration = (milliseconds) => `${milliseconds.toFixed(milliseconds < 10 ? 2 : 0)} ms`;
