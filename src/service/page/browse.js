// The browse view: one page of thumbnails, of all classes or of one.

import { write } from './address.js';
import { getImages } from './api.js';
import { begin, card, finish } from './cards.js';
import { $, count, element, say } from './dom.js';
import { settings } from './search.js';

const SIZE = 60;

export async function showBrowse(state, { data }, options) {
  const here = (label, page) => write({ view: 'browse', label, page });
  const chip = (name, label, images) => element('a',
    { href: here(label, 1), className: 'chip', ...(label === state.label && { 'aria-current': 'true' }) },
    name, ' ', element('span', {}, images.toLocaleString('en')));
  const chips = data.classes.map(({ name, images }) => chip(name, name, images));
  $('classes').replaceChildren(chip('All', '', data.images), ...chips);

  $('pages').replaceChildren();
  begin($('images'), SIZE);
  say('Loading …');
  const { images, page, pages, total } = await getImages({ label: state.label, page: state.page, size: SIZE }, options);
  finish($('images'), images.map((image) => card(image, { ...settings(), label: '' })));

  const step = (name, to) => (to >= 1 && to <= pages
    ? element('a', { href: here(state.label, to), className: 'button' }, name)
    : element('span', { className: 'button', 'aria-disabled': 'true' }, name));
  const place = element('span', {}, `Page ${page} of ${Math.max(1, pages)}`);
  $('pages').replaceChildren(step('Previous', Math.min(page - 1, pages)), place, step('Next', page + 1));
  const what = state.label ? ` of class ${state.label}` : '';
  say(images.length ? `${count(total, 'image')}${what}` : `There are no images${what} on this page.`);
}
