// The server's answers. Every failure is an Error whose message can be shown as it is; `busy` is called with a sentence
// when the server asks for patience, before the one automatic second try.

import { encodePath } from './address.js';

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
  const response = await fetch(url, options).catch((error) => {
    throw error.name === 'AbortError' ? error : new Error('The server cannot be reached. Please try again later.');
  });
  if (response.status === 503 && again) {
    const seconds = Number.parseInt(response.headers.get('Retry-After'), 10) || 1;
    busy?.(`The server is busy; trying again in ${seconds} s …`);
    await wait(seconds, options.signal);
    return ask(url, { busy, ...options }, false);
  }
  const answer = await response.json().catch((error) => {
    if (error.name === 'AbortError') throw error;
    return {};
  });
  options.signal?.throwIfAborted();
  if (response.ok) return answer;
  throw new Error(typeof answer.detail === 'string' ? answer.detail : `The server answered with status ${response.status}.`);
}

function wait(seconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, seconds * 1000);
    signal?.addEventListener('abort', () => reject(signal.reason));
  });
}
