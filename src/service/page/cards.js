// Grids of thumbnails that are links to a search.

import { thumbnailUrl } from './api.js';
import { write } from './address.js';
import { element, unseen } from './dom.js';
import { noteMissing } from './freshness.js';
import { isSelected, remember } from './selection.js';

/** Whether an image's label, or a folder's name, is a class: images without one are in the folder `unlabeled`. */
export const isClass = (label) => Boolean(label) && label !== 'unlabeled';

/** A square picture, which gives way to a note (or an empty frame) if it cannot be shown. */
export function picture(source, properties = {}, note = '') {
  const image = element('img', { className: 'picture', alt: '', decoding: 'async', draggable: false, ...properties, src: source });
  image.addEventListener('error', () => image.replaceWith(element('span', { className: 'picture placeholder' }, note)));
  return image;
}

/** The picture of an indexed image; where there is none, the page finds out why. */
export function thumbnail(key, properties = {}) {
  const image = picture(thumbnailUrl(key), properties, 'No picture');
  image.addEventListener('error', () => noteMissing(key));
  return image;
}

/**
 * A list item: an image that, followed, becomes the query. `settings` are what to go on with: k, label, index, look, …
 * `image` is its picture if there is one already: it need not be loaded again. With `feedback`, there are buttons
 * to ask for more or less like it.
 */
export function card(entry, settings, { similarity, relation, note, image, feedback = false } = {}) {
  const { key, label, findings = [] } = entry;
  remember(entry);
  return element('li', { 'data-key': key },
    element('a', { className: 'card', href: write({ ...settings, view: 'search', key: [key] }), title: key },
      image ?? thumbnail(key, { loading: 'lazy' }),
      similarity === undefined ? null : bar(similarity),
      element('span', { className: `class ${relation ?? ''}` }, label, relation ? unseen(` (${relation} class)`) : null),
      element('span', { className: 'key' }, ...breakable(key)),
      ...findings.map((kind) => element('span', { className: 'note finding' }, titleOfFinding(kind))),
      note ? element('span', { className: 'note' }, note) : null),
    element('div', { className: 'tools' }, selector(key), ...(feedback ? wishes(key) : [])));
}

const wishes = (key) => [['More', '+', 'like'], ['Less', '−', 'unlike']].map(([name, sign, kind]) => element('button', {
  type: 'button', className: 'tool', title: `${name} like this`, 'aria-label': `${name} like ${key}`, 'data-feedback': kind,
}, sign));

function selector(key) {
  const box = element('input', { type: 'checkbox', 'aria-label': `Select ${key}`, checked: isSelected(key) });
  return element('label', { className: 'tool', title: 'Select (X; Shift selects all up to here)' }, box);
}

/** Draw links to the parts of a whole: [name, value, size] each, of which `chosen` is shown. */
export function drawChips(nav, parts, chosen, addressOf) {
  nav.replaceChildren(...parts.map(([name, value, size]) => element('a',
    { href: addressOf(value), className: 'chip', ...(value === chosen && { 'aria-current': 'true' }) },
    name, ' ', element('span', {}, size.toLocaleString('en')))));
}

/** `wrong_label` → `Wrong label`. */
export const titleOfFinding = (kind) => (kind[0].toUpperCase() + kind.slice(1)).replaceAll('_', ' ');

/** The pictures of the cards in a list, by the keys of their images. */
export const picturesIn = (list) =>
  new Map([...list.querySelectorAll('[data-key]')].map((item) => [item.dataset.key, item.querySelector('.picture')]));

/** A key as text that may go on in the next line after a slash. */
export const breakable = (key) => key.split(/(?<=\/)/).flatMap((part, i) => (i ? [element('wbr'), part] : [part]));

/** A bar from the lowest similarity that is shown (--lowest, of the list) to 1. */
function bar(similarity) {
  const filled = element('span', { className: 'bar', 'aria-hidden': 'true', title: 'From the lowest that is shown to 1' });
  filled.style.setProperty('--similarity', similarity);
  return element('span', { className: 'similarity' }, filled, unseen('similarity '), similarity.toFixed(3));
}

/** Have the bars of lists begin a little below the lowest of some similarities. */
export function scaleBars(lists, similarities) {
  const lowest = Math.min(0.999, ...similarities);
  for (const list of lists) list.style.setProperty('--lowest', lowest - 0.1 * (1 - lowest));
}

/** Say that a list is loading: dim what is there, or show `number` empty cards. */
export function begin(list, number, keep = false) {
  list.setAttribute('aria-busy', 'true');
  if (keep) return;
  list.replaceChildren(...Array.from({ length: number }, () => element('li', { className: 'skeleton', 'aria-hidden': 'true' })));
}

export function finish(list, items = []) {
  list.removeAttribute('aria-busy');
  list.replaceChildren(...items);
}

const PRESSED = { x: '[type=checkbox]', '+': '[data-feedback=like]', '-': '[data-feedback=unlike]' };

/** In all grids, arrow keys go from card to card, and other keys press its buttons. */
export function setUpCards() {
  document.addEventListener('keydown', (event) => {
    const here = event.target.closest?.('.grid .card');
    if (!here || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const pressed = Object.hasOwn(PRESSED, key) && here.parentElement.querySelector(PRESSED[key]);
    const next = neighborOf(here, event.key);
    if (!pressed && !next) return;
    if (pressed) pressed.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true, shiftKey: event.shiftKey }));
    else next.focus();
    event.preventDefault();
  });
}

function neighborOf(here, key) {
  const all = [...here.closest('.grid').querySelectorAll('.card')];
  const place = all.indexOf(here);
  const columns = getComputedStyle(here.closest('.grid')).gridTemplateColumns.split(' ').length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -place, End: all.length - 1 - place };
  return Object.hasOwn(steps, key) ? all[place + steps[key]] : undefined;
}
