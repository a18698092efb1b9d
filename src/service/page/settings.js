// The settings of a search: neighbors, filters, look, index, and whether the other run answers as well.

import { $ } from './dom.js';
import { titleOfFinding } from './cards.js';
import { filters, setUpFilters, showFilters } from './filters.js';

export const NAMES = { exact: 'exact search', annoy: 'Annoy', faiss: 'Faiss', lancedb: 'LanceDB' };
export const TITLES = { ...NAMES, exact: 'Exact' };

const MOST_NEIGHBORS = 50;
const LEAST_PAUSE = 120; // milliseconds between two searches: browsers allow about a hundred addresses in ten seconds

let ownLook = null;     // weight of the visual part in the indexes, if there is one to choose
let following = false;  // whether searches follow the slider
let movedOn = false;    // whether it has moved since the latest of them

/** What the controls say, for a search to go on with. */
export function settings() {
  return {
    k: Number($('k').value),
    ...filters(''),
    index: document.querySelector('[name=index]:checked').value,
    look: chosenLook(),
    beside: $('beside').checked ? 'yes' : '',
  };
}

/** The look that the slider says, as a share; nothing where that is the indexes' own. */
const chosenLook = () => (ownLook === null ? '' : lookOf(Number($('look').value) / 100));

const percent = (share) => Math.round(100 * share);

const lookOf = (share) => (share === '' || (ownLook !== null && percent(share) === percent(ownLook)) ? '' : share);

function showLook(look) {
  const shown = percent(look === '' ? ownLook ?? 0 : look);
  $('look').value = shown;
  $('look').setAttribute('aria-valuetext', `${shown} % same look, ${100 - shown} % same kind`);
  $('look-value').value = `${shown} %${look === '' ? ' (default)' : ''}`;
  $('indexes').disabled = look !== '';
}

/** `search` is called when something is changed, with a delay in milliseconds; it is done when the answer is shown. */
export function setUpSettings(info, counts, search) {
  const { backend } = info.indexes.approximate;
  $('approximate').value = backend;
  $('approximate-title').textContent = TITLES[backend];
  $('k').max = Math.min(info.limits.k, MOST_NEIGHBORS);
  ownLook = info.model.visual_weight;
  $('look-control').hidden = ownLook === null;
  showLook('');
  $('beside-control').hidden = !info.beside;
  $('beside-name').textContent = $('beside-title').textContent = info.beside?.revision ?? '';
  setUpFilters('', info, counts, () => search(0));
  $('k').addEventListener('input', () => {
    $('k-value').value = $('k').value;
    search(200);
  });
  $('look').addEventListener('input', () => {
    showLook(chosenLook());
    follow(search);
  });
  for (const control of [$('beside'), ...document.querySelectorAll('[name=index]')]) {
    control.addEventListener('change', () => search(0));
  }
  const wide = matchMedia('(min-width: 50rem)'); // as in search.css
  const fit = () => ($('settings').open = wide.matches);
  wide.addEventListener('change', fit);
  fit();
}

/** Search again and again while the slider moves, one search at a time, so that each gets to be seen. */
async function follow(search) {
  movedOn = true;
  if (following) return;
  following = true;
  while (movedOn) {
    movedOn = false;
    await Promise.all([search(0), pause(LEAST_PAUSE)]);
  }
  following = false;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Have the controls say what a state says; gives the state with what does not go together set right. */
export function showSettings(given, { beside }) {
  const look = lookOf(given.look);
  const state = { ...given, look, index: look === '' ? given.index : 'exact', beside: beside ? given.beside : '' };
  $('k').value = state.k;
  $('k-value').value = $('k').value;
  showFilters('', state);
  showLook(look);
  const exact = document.querySelector('[name=index][value=exact]');
  (state.index === 'exact' ? exact : $('approximate')).checked = true;
  $('beside').checked = Boolean(state.beside);
  return state;
}

/** The settings that are not at their usual values, in words, for where the settings are folded away. */
export function summarize({ k, label, split, finding, look, index }) {
  const shownLook = look === '' ? '' : `look ${percent(look)} %`;
  return [`${k} neighbors`, label, split, finding && titleOfFinding(finding), shownLook, index === 'exact' ? '' : TITLES[index]]
    .filter(Boolean).join(' · ');
}
