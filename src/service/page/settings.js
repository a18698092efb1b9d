// The settings of a search: what to match by, filters, and whether the other run answers as well.

import { titleOfFinding } from './cards.js';
import { $, element } from './dom.js';

const FILTERS = ['label', 'split', 'finding'];
const PAUSE = 120; // milliseconds between two searches: browsers allow about a hundred addresses in ten seconds

let ownLook = null; // weight of the visual part in the indexes, if there is one to choose

/** Fill the selects `<prefix>label`, `<prefix>split` and `<prefix>finding`; `change` is called when one is changed. */
export function setUpFilters(prefix, { data }, counts, change) {
  const numbered = ({ name, images }) => [name, `${name} (${images.toLocaleString('en')})`];
  const kinds = counts.map(({ kind }) => [kind, titleOfFinding(kind)]);
  const entries = {
    label: data.classes.map(numbered),
    split: (data.splits ?? []).map(numbered),
    finding: counts.length ? [['any', 'Any finding'], ['none', 'No finding'], ...kinds] : [],
  };
  for (const name of FILTERS) {
    const select = $(prefix + name);
    select.append(...entries[name].map(([value, text]) => element('option', { value }, text)));
    select.closest('.control').hidden = entries[name].length === 0;
    select.addEventListener('change', change);
  }
}

export const filters = (prefix) => Object.fromEntries(FILTERS.map((name) => [name, $(prefix + name).value]));

export function showFilters(prefix, state) {
  for (const name of FILTERS) $(prefix + name).value = state[name];
}

/** What the controls say, for a search to go on with. */
export function settings() {
  return { ...filters(''), look: chosenLook(), beside: $('beside').checked ? 'yes' : '' };
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
}

/** `search` is called when something is changed, with a delay in milliseconds. */
export function setUpSettings(info, counts, search) {
  ownLook = info.model.visual_weight;
  $('look-control').hidden = ownLook === null;
  showLook('');
  $('beside-control').hidden = !info.beside;
  setUpFilters('', info, counts, () => search(0));
  $('look').addEventListener('input', () => {
    showLook(chosenLook());
    search(PAUSE);
  });
  $('beside').addEventListener('change', () => search(0));
  const wide = matchMedia('(min-width: 50rem)'); // as in search.css
  const fit = () => ($('settings').open = wide.matches);
  wide.addEventListener('change', fit);
  fit();
}

/** A state with what does not go together set right. */
export function normalize(given, { beside }) {
  return { ...given, look: lookOf(given.look), beside: beside ? given.beside : '' };
}

/** Have the controls say what a state says. */
export function showSettings(state) {
  showFilters('', state);
  if (document.activeElement !== $('look')) showLook(state.look); // else the slider is under way
  $('beside').checked = Boolean(state.beside);
  if (state.split || state.finding || state.beside) $('advanced').open = true;
}

/** The settings that are not at their usual values, in words, for where the settings are folded away. */
export function summarize({ label, split, finding, look }) {
  const shownLook = look === '' ? '' : `${percent(look)} % by appearance`;
  return [label, split, finding && titleOfFinding(finding), shownLook].filter(Boolean).join(' · ');
}
