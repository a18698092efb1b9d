// Pictures and cards: a card is a picture, and a line on what is surprising about it.

import { thumbnailUrl } from './api.js';
import { write } from './address.js';
import { element, unseen } from './dom.js';
import { noteMissing } from './freshness.js';
import { isSelected, remember } from './selection.js';

/** Whether an image's label, or a folder's name, is a class: images without one are in the folder `unlabeled`. */
export const isClass = (label) => Boolean(label) && label !== 'unlabeled';

const TITLES = { wrong_label: 'Possible wrong label', doubtful_label: 'Doubtful label', odd: 'Odd picture', outlier: 'Unlike all others' };

/** `near_duplicate` → `Near duplicate`. */
export const titleOfFinding = (kind) => TITLES[kind] ?? (kind[0].toUpperCase() + kind.slice(1)).replaceAll('_', ' ');

/** A square picture, which gives way to a note (or an empty frame) if it cannot be shown. */
export function picture(source, properties = {}, note = '') {
  const image = element('img', { className: 'picture', alt: '', decoding: 'async', draggable: false, ...properties, src: source });
  image.addEventListener('error', () => image.replaceWith(element('span', { className: 'picture placeholder' }, note)));
  return image;
}

/** The picture of an indexed image; where there is none, the page finds out why. */
export function thumbnail(entry, properties = {}) {
  const image = picture(thumbnailUrl(entry), properties, 'No picture');
  image.addEventListener('error', () => noteMissing(entry));
  return image;
}

export const nameOf = (key) => key.split('/').at(-1);

/**
 * A list item: an image, followed by a line if there is something to say. `settings` are what a search from it goes on with;
 * `likeness` is shown, with `words` for it, `another` says that the class is not the query's, and `note` is anything else. With `feedback`, there
 * are buttons for more or less like it.
 */
export function card(entry, settings, { likeness, words = '', another = false, note = '', feedback = false, only = false } = {}) {
  const { key, label, findings = [] } = entry;
  remember(entry);
  const surprises = [another && label, ...findings.map(titleOfFinding), note].filter(Boolean).join(' · ');
  return element('li', { 'data-key': key, className: only ? 'only' : '' },
    element('a', { className: 'card', href: write({ ...settings, view: 'search', key: [key] }), title: key },
      thumbnail(entry, { alt: `${isClass(label) ? `${label}, ` : ''}${nameOf(key)}` }),
      element('span', { className: 'line' },
        likeness === undefined ? null : element('b', { className: 'likeness' }, unseen('likeness '), `${likeness} ${words}`.trim()),
        surprises ? element('span', { className: another || findings.length ? 'surprise' : '' }, surprises) : null)),
    element('div', { className: 'tools' }, selector(key), ...(feedback ? wishes(key) : [])));
}

const wishes = (key) => [['More', '+', 'like'], ['Less', '−', 'unlike']].map(([name, sign, kind]) => element('button', {
  type: 'button', className: 'tool', title: `${name} like this`, 'aria-label': `${name} like ${key}`, 'data-feedback': kind,
}, sign));

function selector(key) {
  const box = element('input', { type: 'checkbox', 'aria-label': `Select ${key}`, checked: isSelected(key) });
  return element('label', { className: 'tool', title: 'Select (X; Shift selects all up to here)' }, box);
}
