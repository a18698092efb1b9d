// Files that outlive a reload: the browser keeps the latest of them on this computer, in IndexedDB.

const MOST = 50;

const open = () => new Promise((resolve, reject) => {
  const request = indexedDB.open('image-similarity', 1);
  request.onupgradeneeded = () => request.result.createObjectStore('files');
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** Do something with the store, and give its result when all is written. */
async function within(mode, act) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction('files', mode);
      const request = act(transaction.objectStore('files'));
      transaction.oncomplete = () => resolve(request?.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

/** Keep a file by a number that is greater than all before. Where nothing can be kept, as in a private window, it is not. */
export async function keep(number, file) {
  try {
    await within('readwrite', (store) => store.put(file, number));
    const numbers = await within('readonly', (store) => store.getAllKeys());
    const old = numbers.slice(0, -MOST);
    if (old.length) await within('readwrite', (store) => store.delete(IDBKeyRange.upperBound(old.at(-1))));
  } catch {
    // the upload works all the same, until the page is left
  }
}

export const kept = (number) => within('readonly', (store) => store.get(number)).catch(() => undefined);
