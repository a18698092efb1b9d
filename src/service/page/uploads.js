// Pictures from outside: dropped, pasted or picked. They live as long as the page does; the address holds only their number.

import { $, complain } from './dom.js';

export const uploads = new Map(); // number → { file, url }

/** `accept` is called with the number of every picture that may be searched with. */
export function setUpUploads(limit, accept) {
  const take = async (file) => {
    if (!file) return;
    const most = await limit;
    if (file.size > most) {
      complain(`“${file.name}” has ${megabytes(file.size)}; a picture may have up to ${megabytes(most)}.`);
      return;
    }
    const number = Date.now().toString(36); // not 1, 2, 3: after a reload, history may still hold those
    uploads.set(number, { file, url: URL.createObjectURL(file) });
    accept(number);
  };

  $('upload').addEventListener('change', ({ target }) => {
    take(target.files[0]);
    target.value = ''; // so that the same file can be picked again
  });
  addEventListener('paste', ({ clipboardData }) => take(clipboardData?.files[0]));

  const hover = (event, over) => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    document.body.classList.toggle('dropping', over);
  };
  addEventListener('dragover', (event) => hover(event, true));
  addEventListener('dragleave', (event) => hover(event, event.relatedTarget !== null));
  addEventListener('drop', (event) => {
    hover(event, false);
    take(event.dataTransfer?.files[0]);
  });
}

const megabytes = (bytes) => `${(bytes / 1e6).toLocaleString('en', { maximumFractionDigits: 1 })} MB`;
