// The state of the page as its address, and back. What is at its default is left out of the address.

const DEFAULTS = { view: 'search', key: '', upload: '', k: 10, label: '', index: 'exact', look: '', page: 1 };

const OF_VIEW = { search: ['key', 'upload', 'k', 'label', 'index', 'look'], browse: ['label', 'page'], map: [] };

/** Keys hold slashes that stay, and anything else that must not. */
export const encodePath = (key) => key.split('/').map(encodeURIComponent).join('/');

export function read(query) {
  const given = new URLSearchParams(query);
  const state = { ...DEFAULTS };
  for (const name of Object.keys(state)) state[name] = given.get(name) ?? state[name];
  if (!Object.hasOwn(OF_VIEW, state.view)) state.view = 'search';
  if (!['annoy', 'faiss'].includes(state.index)) state.index = 'exact';
  const look = Number.parseFloat(state.look);
  state.look = look >= 0 && look <= 1 ? Math.round(100 * look) / 100 : '';
  for (const name of ['k', 'page']) state[name] = Math.min(1e9, Math.max(1, Number.parseInt(state[name], 10) || DEFAULTS[name]));
  return state;
}

export function write(state) {
  const full = { ...DEFAULTS, ...state };
  const parts = ['view', ...OF_VIEW[full.view]]
    .filter((name) => full[name] !== DEFAULTS[name])
    .map((name) => `${name}=${encodePath(String(full[name]))}`);
  return parts.length ? `/?${parts.join('&')}` : '/';
}
