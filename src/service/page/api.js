// The server's answers. Every failure is an Error whose message can be shown as it is; `busy` is called with a sentence
// when the server asks for patience, before the one automatic second try.

import { encodePath } from './address.js';
import { $ } from './dom.js';

export const fileUrl = (key) => `/api/images/${encodePath(key)}`;
export const thumbnailUrl = (key) => `${fileUrl(key)}?thumbnail=256`;

export const getInfo = (options) => ask('/api/info', options);
export const getMap = (options) => ask('/api/map', options);
export const getImages = (fields, options) => ask(`/api/images?${new URLSearchParams(filled(fields))}`, options);
export const getSimilar = (fields, options) => ask(`/api/similar?${new URLSearchParams(filled(fields))}`, options);

export async function searchWith(file, fields, options) {
  await file.slice(0, 1).arrayBuffer().catch(() => {
    throw new Error(`“${file.name}” cannot be read. Is it a folder, or was it moved?`);
  });
  const body = new FormData();
  for (const [name, value] of Object.entries(filled(fields))) body.append(name, value);
  body.append('image', file, file.name);
  return ask('/api/search', { method: 'POST', body, ...options });
}

const filled = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));

async function ask(url, { busy, ...options } = {}, again = true) {
  const response = await reach(url, options);
  if (response.status === 503 && again) {
    const seconds = Number.parseInt(response.headers.get('Retry-After'), 10) || 1;
    busy?.(`The server is busy; trying again in ${seconds} s …`);
    await wait(seconds, options.signal);
    return ask(url, { busy, ...options }, false);
  }
  if (response.status === 401) {
    await signIn();
    return ask(url, { busy, ...options }, again);
  }
  const answer = await response.json().catch((error) => {
    if (error.name === 'AbortError') throw error;
    return {};
  });
  options.signal?.throwIfAborted();
  if (response.ok) return answer;
  throw new Error(typeof answer.detail === 'string' ? answer.detail : `The server answered with status ${response.status}.`);
}

let signingIn = null; // what all that are refused wait for

/** Have the person give the token until it is right; the server then knows this browser by a cookie. */
const signIn = () => (signingIn ??= askForToken().finally(() => (signingIn = null)));

async function askForToken() {
  const dialog = $('sign-in');
  for (let isKnown = false; !isKnown; $('token-wrong').hidden = isKnown) {
    dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
    const token = $('token').value.replace(/[^\x21-\x7e]/g, ''); // nothing else can be sent, nor be in a token
    const session = await reach('/api/session', { method: 'POST', headers: { Authorization: `Bearer ${token}` } });
    isKnown = session.status !== 401;
  }
}

const reach = (url, options) => fetch(url, options).catch((error) => {
  throw error.name === 'AbortError' ? error : new Error('The server cannot be reached. Please try again later.');
});

function wait(seconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, seconds * 1000);
    signal?.addEventListener('abort', () => reject(signal.reason));
  });
}
