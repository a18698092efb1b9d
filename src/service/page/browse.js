// The browse view: thumbnails of all images, of a class, of a split, with a finding, or with a name.

import { write } from './address.js';
import { getImages } from './api.js';
import { card, drawChips } from './cards.js';
import { $, count, say } from './dom.js';
import { showPages } from './endless.js';
import { filters, settings, setUpFilters, showFilters } from './settings.js';

const SIZE = 60;

let current = {}; // the state that is shown

export function setUpBrowse(info, counts, visit) {
  const change = (delay) => visit({ ...current, ...filters('browse-'), name: $('name').value.trim() }, { replace: true, delay });
  setUpFilters('browse-', info, counts, () => change(0));
  $('name').addEventListener('input', () => change(200));
  $('narrow').addEventListener('submit', (event) => event.preventDefault());
}

export async function showBrowse(state, { data }, options) {
  current = state;
  showFilters('browse-', state);
  if (document.activeElement !== $('name')) $('name').value = state.name;
  const chips = data.classes.map(({ name, images }) => [name, name, images]);
  drawChips($('classes'), [['All', '', data.images], ...chips], state.label, (label) => write({ ...state, label }));
  const { label, split, finding, name } = state;
  const get = (page, size) => getImages({ label, split, finding, name, page, size }, options);
  const draw = ({ images }) => images.map((image) => card(image, { ...settings(), label: '', split: '', finding: '' }));
  const { total } = await showPages($('images'), $('more-images'), SIZE, get, draw, options);
  say(describe(total, state));
}

function describe(total, { label, split, finding, name }) {
  const found = finding && (finding === 'none' ? 'without a finding' : 'with a finding');
  const what = [label && `of class ${label}`, split && `in ${split}`, found, name && `named like “${name}”`].filter(Boolean).join(', ');
  return total ? `${count(total, 'image')} ${what}`.trim() : `There is no image ${what}.`;
}
