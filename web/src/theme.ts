import { shadeOnDark, shadeOnLight } from '../../src/report/color.ts';
import { el } from './dom.ts';

type Theme = 'light' | 'dark';

const stored = 'virtap-theme';
const system = matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();

/** The theme now: what the reader chose, or else the system's. */
function theme(): Theme {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === 'light' || chosen === 'dark') return chosen;
  return system.matches ? 'dark' : 'light';
}

/** Called after every change of the theme, until the signal comes. */
export function onTheme(listener: () => void, signal: AbortSignal): void {
  listeners.add(listener);
  signal.addEventListener('abort', () => listeners.delete(listener));
}

/** Colours for canvases, which know no style sheet. */
export function colors(): { ink: string; faint: string; line: string; shade: typeof shadeOnDark; lines: string[] } {
  return theme() === 'dark'
    ? {
        ink: '#e8e9ed',
        faint: '#a5a8b3',
        line: '#3a3d47',
        shade: shadeOnDark,
        lines: ['#ffffff', '#ff9ecb', '#ffb000', '#ff5d5d'],
      }
    : {
        ink: '#202126',
        faint: '#5c5f69',
        line: '#d8dae1',
        shade: shadeOnLight,
        lines: ['#000000', '#b0006d', '#c25700', '#c40000'],
      };
}

/** The button that goes from one theme to the other. */
export function themeButton(signal: AbortSignal): HTMLElement {
  const button = el('button', { type: 'button', class: 'quiet' });
  const name = () => {
    button.textContent = theme() === 'dark' ? '☀ Light' : '☾ Dark';
  };
  button.addEventListener('click', () => {
    set(theme() === 'dark' ? 'light' : 'dark');
    name();
  });
  onTheme(name, signal);
  name();
  return button;
}

/** Takes up what the reader chose last time. */
export function restoreTheme(): void {
  const last = remembered();
  if (last === 'light' || last === 'dark') document.documentElement.dataset.theme = last;
  system.addEventListener('change', changed);
}

function set(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(stored, theme);
  } catch {
    // A page opened from a file may have no storage.
  }
  changed();
}

function remembered(): string | null {
  try {
    return localStorage.getItem(stored);
  } catch {
    return null;
  }
}

function changed(): void {
  for (const listener of listeners) listener();
}
