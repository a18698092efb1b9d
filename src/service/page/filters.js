// The choices of class, split and finding, in the settings of a search and above the images that are browsed.

import { titleOfFinding } from './cards.js';
import { $, element } from './dom.js';

const FILTERS = ['label', 'split', 'finding'];
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
