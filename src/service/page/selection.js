// Images that are selected, in any view: a bar at the foot of the page says what can be done with them.

import { $, button, complain, onKeys } from './dom.js';
import { copyPaths, downloadMenu } from './download.js';

const STORED = 'selection';

// Of images: key → { key, label, split, findings, row }.
const known = new Map(JSON.parse(sessionStorage.getItem(STORED) ?? '[]').map((entry) => [entry.key, entry]));
const selected = new Set(known.keys());
let last = null; // the grid and the place that were clicked last, from which Shift selects

export const isSelected = (key) => selected.has(key);
export const remember = ({ key, label, split, findings, row }) => known.set(key, { key, label, split, findings, row });
export const recallEntry = (key) => known.get(key) ?? { key, label: key.split('/')[0] };

export const selectedEntries = () => [...selected].map(recallEntry);

/** Select images, or (with `on` false) do so no more. */
export function select(keys, on = true) {
  for (const key of keys) selected[on ? 'add' : 'delete'](key);
  show();
}

function show() {
  try {
    sessionStorage.setItem(STORED, JSON.stringify(selectedEntries()));
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
    const grid = box.closest('.grid')?.grid;
    const place = Number(box.closest('[data-place]')?.dataset.place);
    if (grid && event.shiftKey && last?.grid === grid) {
      const [first, end] = [last.place, place].sort((a, b) => a - b);
      grid.entries(first, end).then((entries) => {
        entries.forEach(remember);
        select(entries.map(({ key }) => key), box.checked);
      }, (error) => complain(error.message));
    } else select([keyOf(box)], box.checked);
    last = grid && { grid, place };
  });
  const touch = (isMeant) => (event) => {
    const item = isMeant() && event.pointerType === 'touch' && event.target.closest?.('.grid [data-key]');
    if (!item) return;
    event.preventDefault();
    select([item.dataset.key], !isSelected(item.dataset.key));
  };
  document.addEventListener('contextmenu', touch(() => true)); // a long press
  document.addEventListener('click', touch(() => selected.size), { capture: true }); // adds to what is selected
  const press = (name) => ({ target }) => target.closest('[data-key]').querySelector(name)?.click();
  onKeys(document, { x: press('[type=checkbox]'), '+': press('[data-feedback=like]'), '-': press('[data-feedback=unlike]') },
    ({ target }) => target.matches?.('[data-key] > .card'));
  const searchWithAll = () => (selected.size > most
    ? complain(`A search takes up to ${most} images; ${selected.size.toLocaleString('en')} are selected.`)
    : searchWith([...selected]));
  $('selection-tools').replaceChildren(
    button('Search with these', searchWithAll, { className: 'button strong' }),
    downloadMenu('selection', selectedEntries),
    button('Copy paths', () => copyPaths([...selected])),
    button('Clear', () => select([...selected], false)),
  );
  show();
}
