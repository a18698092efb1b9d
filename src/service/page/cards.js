// Grids of thumbnails that are links to a search.

import { thumbnailUrl } from './api.js';
import { write } from './address.js';
import { element } from './dom.js';

/** A square picture, which gives way to a note (or an empty frame) if it cannot be shown. */
export function picture(source, properties = {}, note = '') {
  const image = element('img', { className: 'picture', alt: '', decoding: 'async', draggable: false, ...properties, src: source });
  image.addEventListener('error', () => image.replaceWith(element('span', { className: 'picture placeholder' }, note)));
  return image;
}

/** A list item: an image that, followed, becomes the query. `settings` are the k, label and index to go on with. */
export function card({ key, label }, settings, { similarity, relation, note } = {}) {
  return element('li', {},
    element('a', { className: 'card', href: write({ ...settings, view: 'search', upload: '', key }), title: key },
      picture(thumbnailUrl(key), { loading: 'lazy' }),
      similarity === undefined ? null : bar(similarity),
      element('span', { className: `class ${relation ?? ''}` }, label, relation ? unseen(` (${relation} class)`) : null),
      element('span', { className: 'key' }, ...breakable(key)),
      note ? element('span', { className: 'note' }, note) : null));
}

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
