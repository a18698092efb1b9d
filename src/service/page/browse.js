// The browse view: thumbnails of all images, of a class, of a split, with a finding, or with a name.

import { write } from './address.js';
import { getImages } from './api.js';
import { begin, card, finish } from './cards.js';
import { $, count, element, say } from './dom.js';
import { goOn, stop } from './endless.js';
import { filters, setUpFilters, showFilters } from './filters.js';
import { settings } from './settings.js';

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
  drawChips(state, data);
  stop($('more-images'));
  begin($('images'), SIZE);
  say('Loading …');
  const { label, split, finding, name } = state;
  const get = (page, size) => getImages({ label, split, finding, name, page, size }, options);
  const size = SIZE * Math.max(1, Math.min(8, Math.ceil((options.shown ?? 0) / SIZE)));
  const first = await get(1, size);
  const cards = (images) => images.map((image) => card(image, { ...settings(), label: '', split: '', finding: '' }));
  finish($('images'), cards(first.images));
  say(describe(first.total, state));
  let page = size / SIZE;
  if (first.total <= first.images.length) return;
  goOn($('more-images'), async () => {
    page += 1;
    const next = await get(page, SIZE);
    $('images').append(...cards(next.images));
    return page < next.pages;
  }, options.signal);
}

function drawChips(state, data) {
  const chip = (name, label, images) => element('a',
    { href: write({ ...state, label }), className: 'chip', ...(label === state.label && { 'aria-current': 'true' }) },
    name, ' ', element('span', {}, images.toLocaleString('en')));
  $('classes').replaceChildren(chip('All', '', data.images), ...data.classes.map(({ name, images }) => chip(name, name, images)));
}

function describe(total, { label, split, finding, name }) {
  const found = finding && (finding === 'none' ? 'without a finding' : 'with a finding');
  const what = [label && `of class ${label}`, split && `in ${split}`, found, name && `named like “${name}”`].filter(Boolean).join(', ');
  return total ? `${count(total, 'image')} ${what}`.trim() : `There is no image ${what}.`;
}
