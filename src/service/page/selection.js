// Images that are selected, in any view: a bar at the foot of the page says what can be done with them.

import { $, button, complain } from './dom.js';
import { copyPaths, downloadMenu } from './download.js';

const STORED = 'selection';

const known = new Map(load().map((entry) => [entry.key, entry])); // of images: key → { key, label, split, findings }
const selected = new Set(known.keys());
let last = null;            // the box that was clicked last, from which Shift selects

function load() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED)) ?? [];
  } catch {
    return [];
  }
}

export const isSelected = (key) => selected.has(key);
export const remember = ({ key, label, split, findings }) => known.set(key, { key, label, split, findings });
export const recallEntry = (key) => known.get(key) ?? { key, label: key.split('/')[0] };

/** Select images, or (with `on` false) do so no more. */
export function select(keys, on = true) {
  for (const key of keys) selected[on ? 'add' : 'delete'](key);
  show();
}

function show() {
  try {
    sessionStorage.setItem(STORED, JSON.stringify([...selected].map(recallEntry)));
  } catch {
    // too many to be kept over a reload
  }
  for (const box of boxes(document)) box.checked = selected.has(keyOf(box));
  document.body.classList.toggle('selecting', selected.size > 0);
  $('selection').hidden = !selected.size;
  $('selected').textContent = `${selected.size.toLocaleString('en')} selected`;
  document.dispatchEvent(new Event('selected'));
}

const boxes = (within) => [...within.querySelectorAll('[data-key] > .tools [type=checkbox]')];
const keyOf = (box) => box.closest('[data-key]').dataset.key;

/** `searchWith` is called with the selected keys, where they are no more than `most`. */
export function setUpSelection(searchWith, most) {
  document.addEventListener('click', (event) => {
    if (!event.target.matches?.('[data-key] > .tools [type=checkbox]')) return;
    const box = event.target;
    const all = boxes(box.closest('.grid'));
    const from = event.shiftKey ? all.indexOf(last) : -1;
    const [first, end] = [from, all.indexOf(box)].sort((a, b) => a - b);
    last = box;
    select(from < 0 ? [keyOf(box)] : all.slice(first, end + 1).map(keyOf), box.checked);
  });
  const searchWithAll = () => (selected.size > most
    ? complain(`A query is made of up to ${most} images; ${selected.size.toLocaleString('en')} are selected.`)
    : searchWith([...selected]));
  const entries = () => [...selected].map(recallEntry);
  $('selection-tools').replaceChildren(
    button('Search with these', searchWithAll, { className: 'button strong' }),
    downloadMenu('selection', entries),
    button('Copy paths', () => copyPaths([...selected])),
    button('Clear', () => select([...selected], false)),
  );
  show();
}
