// The state of the page as its address, and back. What is at its default is left out of the address, and addresses are
// relative, so that the page may lie below any path.

const SEARCH = {
  key: [], upload: [], like: [], unlike: [], region: '', label: '', split: '', finding: '', look: '', beside: '',
};
const OF_VIEW = {
  search: SEARCH,
  browse: { label: '', split: '', finding: '', name: '' },
  findings: { kind: '' },
  map: { key: [], upload: [], map: '', color: '' },
  runs: {},
};
const DEFAULTS = { view: 'search', ...Object.assign({}, ...Object.values(OF_VIEW)) };

/** Keys hold slashes that stay, and anything else that must not. */
export const encodePath = (key) => encodeURIComponent(key).replaceAll('%2F', '/').replaceAll('%2C', ',');

export function read(query) {
  const given = new URLSearchParams(query);
  const state = {};
  for (const [name, value] of Object.entries(DEFAULTS)) {
    state[name] = Array.isArray(value) ? [...new Set(given.getAll(name))] : given.get(name) ?? value;
  }
  if (!Object.hasOwn(OF_VIEW, state.view)) state.view = 'search';
  const look = Number.parseFloat(state.look);
  state.look = look >= 0 && look <= 1 ? Math.round(100 * look) / 100 : '';
  state.region = isRegion(state.region.split(',').map(Number)) ? state.region : '';
  return state;
}

const isRegion = ([x, y, width, height, ...rest]) =>
  x >= 0 && y >= 0 && width > 0 && height > 0 && x + width <= 1.0001 && y + height <= 1.0001 && !rest.length;

export function write(state) {
  const full = { ...DEFAULTS, ...state };
  const parts = ['view', ...Object.keys(OF_VIEW[full.view])]
    .filter((name) => full[name] !== DEFAULTS[name])
    .flatMap((name) => [full[name]].flat().map((value) => `${name}=${encodePath(String(value))}`));
  return parts.length ? `./?${parts.join('&')}` : './';
}
