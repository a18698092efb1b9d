// The settings of a search: neighbors, filters, what to match by, index, and whether the other run answers as well.

import { titleOfFinding } from './cards.js';
import { $, element } from './dom.js';

export const NAMES = { exact: 'exact search', annoy: 'Annoy', lancedb: 'LanceDB' };
export const TITLES = { ...NAMES, exact: 'Exact' };

const MOST_NEIGHBORS = 50;
const FILTERS = ['label', 'split', 'finding'];
const PAUSE = 120; // milliseconds between two searches: browsers allow about a hundred addresses in ten seconds

let ownLook = null; // weight of the visual part in the indexes, if there is one to choose

/**
 * Fill the selects `<prefix>label`, `<prefix>split` and `<prefix>finding`, as far as there are such; `change` is called
 * when one is changed.
 * `counts` are the kinds of findings that there are, and how many of each.
 */
export function setUpFilters(prefix, { data }, counts, change) {
  const numbered = ({ name, images }) => [name, `${name} (${images.toLocaleString('en')})`];
  const kinds = counts.map(({ kind }) => [kind, titleOfFinding(kind)]);
  const entries = {
    label: data.classes.map(numbered),
    split: (data.splits ?? []).map(numbered),
    finding: counts.length ? [['any', 'Any finding'], ['none', 'No finding'], ...kinds] : [],
  };
  for (const name of present(prefix)) {
    const select = $(prefix + name);
    select.append(...entries[name].map(([value, text]) => element('option', { value }, text)));
    select.closest('.control').hidden = entries[name].length === 0;
    select.addEventListener('change', change);
  }
}

const present = (prefix) => FILTERS.filter((name) => $(prefix + name));

export const filters = (prefix) => Object.fromEntries(present(prefix).map((name) => [name, $(prefix + name).value]));

export function showFilters(prefix, state) {
  for (const name of present(prefix)) $(prefix + name).value = state[name];
}

/** What the controls say, for a search to go on with. */
export function settings() {
  return {
    k: Number($('k').value),
    ...filters(''),
    index: $('index').value,
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
  $('look').setAttribute('aria-valuetext', `${shown} % by appearance, ${100 - shown} % by type`);
  $('look-value').value = `${shown} %${look === '' ? ' (default)' : ''}`;
  $('index').disabled = look !== '';
}

/** `search` is called when something is changed, with a delay in milliseconds. */
export function setUpSettings(info, counts, search) {
  const { backend } = info.indexes.approximate;
  Object.assign($('approximate'), { value: backend, textContent: TITLES[backend] });
  $('k').max = Math.min(info.limits.k, MOST_NEIGHBORS);
  ownLook = info.model.visual_weight;
  $('look-control').hidden = ownLook === null;
  showLook('');
  $('beside-control').hidden = !info.beside;
  $('beside-name').textContent = $('beside-title').textContent = info.beside?.revision ?? '';
  setUpFilters('', info, counts, () => search(0));
  $('k').addEventListener('input', () => {
    $('k-value').value = $('k').value;
    search(PAUSE);
  });
  $('look').addEventListener('input', () => {
    showLook(chosenLook());
    search(PAUSE);
  });
  for (const control of [$('beside'), $('index')]) control.addEventListener('change', () => search(0));
  const wide = matchMedia('(min-width: 50rem)'); // as in search.css
  const fit = () => ($('settings').open = wide.matches);
  wide.addEventListener('change', fit);
  fit();
}

/** Have the controls say what a state says; gives the state with what does not go together set right. */
export function showSettings(given, { beside }) {
  const look = lookOf(given.look);
  const state = { ...given, look, index: look === '' ? given.index : 'exact', beside: beside ? given.beside : '' };
  $('k').value = state.k;
  $('k-value').value = $('k').value;
  showFilters('', state);
  showLook(look);
  $('index').value = state.index === 'exact' ? 'exact' : $('approximate').value;
  $('beside').checked = Boolean(state.beside);
  return state;
}

/** The settings that are not at their usual values, in words, for where the settings are folded away. */
export function summarize({ k, label, split, finding, look, index }) {
  const shownLook = look === '' ? '' : `${percent(look)} % by appearance`;
  return [`${k} neighbors`, label, split, finding && titleOfFinding(finding), shownLook, index === 'exact' ? '' : TITLES[index]]
    .filter(Boolean).join(' · ');
}
