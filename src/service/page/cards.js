// Grids of thumbnails that are links to a search.

import { thumbnailUrl } from './api.js';
import { write } from './address.js';
import { element } from './dom.js';

/** Whether an image's label, or a folder's name, is a class: images without one are in the folder `unlabeled`. */
export const isClass = (label) => Boolean(label) && label !== 'unlabeled';

/** A square picture, which gives way to a note (or an empty frame) if it cannot be shown. */
export function picture(source, properties = {}, note = '') {
  const image = element('img', { className: 'picture', alt: '', decoding: 'async', draggable: false, ...properties, src: source });
  image.addEventListener('error', () => image.replaceWith(element('span', { className: 'picture placeholder' }, note)));
  return image;
}

/**
 * A list item: an image that, followed, becomes the query. `settings` are what to go on with: k, label, index and look.
 * `image` is its picture if there is one already: it need not be loaded again.
 */
export function card({ key, label }, settings, { similarity, relation, note, image } = {}) {
  return element('li', { 'data-key': key },
    element('a', { className: 'card', href: write({ ...settings, view: 'search', upload: '', key }), title: key },
      image ?? picture(thumbnailUrl(key), { loading: 'lazy' }),
      similarity === undefined ? null : bar(similarity),
      element('span', { className: `class ${relation ?? ''}` }, label, relation ? unseen(` (${relation} class)`) : null),
      element('span', { className: 'key' }, ...breakable(key)),
      note ? element('span', { className: 'note' }, note) : null));
}

/** The pictures of the cards in a list, by the keys of their images. */
export const picturesIn = (list) =>
  new Map([...list.querySelectorAll('[data-key]')].map((item) => [item.dataset.key, item.querySelector('.picture')]));

/** A key as text that may go on in the next line after a slash. */
export const breakable = (key) => key.split(/(?<=\/)/).flatMap((part, i) => (i ? [element('wbr'), part] : [part]));

function bar(similarity) {
  const filled = element('span', { className: 'bar', 'aria-hidden': 'true' });
  filled.style.setProperty('--share', Math.max(0, Math.min(1, similarity)));
  return element('span', { className: 'similarity' }, filled, unseen('similarity '), similarity.toFixed(3));
}

const unseen = (text) => element('span', { className: 'unseen' }, text);

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
