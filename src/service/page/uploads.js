// Pictures from outside: dropped, pasted or chosen. The address holds only their numbers.

import { $, complain } from './dom.js';

export const uploads = new Map(); // number → { upload: that number, file, name, source }

const MOST = 50; // files that outlive a reload

let latest = 0;

/** A number that no upload had before, in this page or a former one; as text, they are in the order of time. */
const nextNumber = () => (latest = Math.max(latest + 1, Date.now())).toString(36).padStart(9, '0');

function add(number, file) {
  uploads.set(number, { upload: number, file, name: file.name, source: URL.createObjectURL(file) });
}

/** Have those of the given uploads that the browser has kept; gives the numbers of all that there are. */
export async function recall(numbers) {
  for (const number of numbers.filter((each) => !uploads.has(each))) {
    const file = await kept(number);
    if (file) add(number, file);
  }
  return numbers.filter((number) => uploads.has(number));
}

/** `accept` is called with the numbers of the pictures that may be searched with, and whether they join the query. */
export function setUpUploads(limit, accept) {
  const take = async (files, joins = false) => {
    if (!files.length) return;
    const most = await limit();
    const large = files.find(({ size }) => size > most);
    if (large) return void complain(`“${large.name}” is too large: ${megabytes(large.size)}, where ${megabytes(most)} are allowed.`);
    const numbers = files.map((file) => {
      const number = nextNumber();
      add(number, file);
      keep(number, file);
      return number;
    });
    await accept(numbers, joins);
  };

  for (const input of [$('upload'), $('add-upload')]) {
    input.addEventListener('change', () => {
      take([...input.files], input === $('add-upload'));
      input.value = ''; // so that the same file can be picked again
    });
  }
  addEventListener('paste', (event) => {
    if (event.clipboardData?.files.length) take([...event.clipboardData.files]);
    else if (!event.target.closest?.('input, textarea')) refuseText(event.clipboardData?.getData('text/plain') ?? '');
  });

  let dragsOwn = false; // something of this page
  const isOffered = ({ dataTransfer }) => ['Files', 'text/uri-list'].some((type) => dataTransfer?.types.includes(type));
  const hover = (event, over) => {
    if (!isOffered(event) || dragsOwn) return;
    event.preventDefault();
    document.body.classList.toggle('dropping', over);
  };
  addEventListener('dragstart', () => (dragsOwn = true));
  addEventListener('dragend', () => (dragsOwn = false));
  addEventListener('dragover', (event) => hover(event, true));
  addEventListener('dragleave', (event) => hover(event, event.relatedTarget !== null));
  addEventListener('drop', (event) => {
    hover(event, false);
    if (dragsOwn || !isOffered(event)) return;
    if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
    else refuseText(event.dataTransfer.getData('text/uri-list'));
  });
}

function refuseText(text) {
  if (!text.trim()) return;
  complain(/^\s*(https?|data|ftp):/i.test(text)
    ? 'This is a link, and pictures are not fetched from other sites. Use “Copy image” and paste, or save it and drop the file.'
    : 'This is text, not a picture. To find an indexed image by its name, use Browse.');
}

const megabytes = (bytes) => `${(bytes / 1e6).toLocaleString('en', { maximumFractionDigits: 1 })} MB`;

// Files outlive a reload: the browser keeps the latest of them on this computer, in IndexedDB.

const open = () => new Promise((resolve, reject) => {
  const request = indexedDB.open('image-similarity', 1);
  request.onupgradeneeded = () => request.result.createObjectStore('files');
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

let database = null;

/** Do something with the store, and give its result when all is written. */
async function within(mode, act) {
  const transaction = (await (database ??= open())).transaction('files', mode);
  return new Promise((resolve, reject) => {
    const request = act(transaction.objectStore('files'));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

/** Keep a file by a number that is greater than all before, and only the latest files. */
const keep = (number, file) => within('readwrite', (store) => {
  store.getAllKeys().onsuccess = ({ target }) => target.result.slice(0, 1 - MOST).forEach((old) => store.delete(old));
  return store.put(file, number);
}).catch(() => {}); // as in a private window: the upload works nevertheless, until the page is left

const kept = (number) => within('readonly', (store) => store.get(number)).catch(() => undefined);
