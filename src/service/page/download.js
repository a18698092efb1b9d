// Taking images away: their paths on the clipboard; a list as CSV, or the images themselves as a zip.

import { getZip } from './api.js';
import { button, complain, count, element, say } from './dom.js';

/** Where the file of an image is, below the folder of the pipeline. */
const pathOf = (key) => `data/images/${key}`;

export async function copyPaths(keys) {
  const text = keys.map(pathOf).join('\n');
  try {
    await navigator.clipboard.writeText(text);
    say(`${count(keys.length, 'path')} copied`);
  } catch { // as where the page did not come by TLS
    complain(`The browser does not allow copying here. ${keys.length === 1 ? text : 'Download the list instead.'}`);
  }
}

function asCsv(entries) {
  const cell = (value) => `"${String(value ?? '').replaceAll('"', '""')}"`;
  const rows = entries.map(({ key, label, split, findings = [], likeness, cosine }) =>
    [key, pathOf(key), label, split, findings.join(' '), likeness, cosine].map(cell));
  return [['key', 'path', 'label', 'split', 'findings', 'likeness', 'cosine'], ...rows].map((row) => `${row.join(',')}\r\n`).join('');
}

/** A button that opens the choice of a format for the images that `entries` gives then, after `more` to choose from. */
export function downloadMenu(name, entries, { title = 'Download', more = [] } = {}) {
  const close = () => {
    menu.open = false;
    menu.firstElementChild.focus();
  };
  const offer = (text, act) => button(text, () => {
    close();
    act(entries());
  });
  const menu = element('details', { className: 'menu' },
    element('summary', { className: 'button' }, title),
    element('div', { className: 'choices' },
      ...more.map(([text, act]) => offer(text, act)),
      offer('List as CSV', (list) => save(`${name}.csv`, new Blob([asCsv(list)], { type: 'text/csv' }))),
      offer('Images as zip', (list) => saveZip(`${name}.zip`, list.map(({ key }) => key)))));
  menu.addEventListener('keydown', ({ key }) => key === 'Escape' && close());
  menu.addEventListener('focusout', ({ relatedTarget }) => !menu.contains(relatedTarget) && (menu.open = false));
  return menu;
}

async function saveZip(name, keys) {
  say(`Packing ${count(keys.length, 'image')} …`);
  try {
    const zip = await getZip(keys);
    save(name, zip);
    say(`${count(keys.length, 'image')} packed`);
  } catch (error) {
    say('');
    complain(error.message);
  }
}

function save(name, blob) {
  const link = element('a', { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
