// Paths of images on the clipboard.

import { count, complain, element, say } from './dom.js';

/** Where the file of an image is, below the folder of the pipeline. */
export const pathOf = (key) => `data/images/${key}`;

export async function copyPaths(keys) {
  const text = keys.map(pathOf).join('\n');
  if (await copy(text)) say(`${count(keys.length, 'path')} copied`);
  else complain(`The browser does not let this page copy. ${keys.length === 1 ? text : 'Download the list instead.'}`);
}

const copy = (text) => (navigator.clipboard?.writeText(text) ?? Promise.reject(new Error('no clipboard')))
  .then(() => true, () => copyBySelecting(text));

/** The way that is left where the page did not come by TLS. */
function copyBySelecting(text) {
  const field = element('textarea', { className: 'unseen', value: text });
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  focused?.focus();
  return done;
}
