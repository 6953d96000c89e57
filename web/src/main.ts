import './page.css';
import type { ElementJson } from '../../src/report/answers.ts';
import type { PageData, Section, Verdict } from '../../src/report/page-data.ts';
import { follow, loadData, loadPicture } from './data.ts';
import { el, scrollTo } from './dom.ts';
import { exitsPart } from './exits.ts';
import { leaksPart } from './leaks.ts';
import { locksPart } from './locks.ts';
import { recordingPart } from './recording.ts';
import { requestsPart } from './requests.ts';
import { restoreTheme, themeButton } from './theme.ts';
import { vcpusPart } from './vcpus.ts';

const words: Record<Verdict['level'], string> = { bad: 'Found', warn: 'Look', note: 'Note', good: 'Good' };

/** Ends the page as it is shown now, when another takes its place. */
let life = new AbortController();

async function main(): Promise<void> {
  restoreTheme();
  const app = document.getElementById('app') as HTMLElement;
  try {
    const { live } = await show(app);
    // The secret let us in, and is not for whoever is shown the address.
    if (live !== undefined) history.replaceState(null, '', location.pathname + location.hash);
    if (live !== undefined) void follow(live.generation, () => grown(app));
  } catch (error) {
    app.replaceChildren(el('p', { role: 'alert' }, `This page cannot be shown: ${(error as Error).message}`));
    throw error;
  }
}

async function show(app: HTMLElement): Promise<PageData> {
  const data = await loadData();
  document.title = data.title;
  const next = new AbortController();
  const parts: Node[] = [];
  for (const section of data.sections) parts.push(await part(section, data, next.signal));
  life.abort();
  life = next;
  app.replaceChildren(
    el('header', {}, el('h1', {}, data.title), themeButton(next.signal)),
    el('main', {}, verdictsPart(data.verdicts), ...parts, recordingPart(data.recording)),
    el('footer', {}, `Made by ${data.madeBy}. Every figure is what its commands print with --json.`),
  );
  return data;
}

/** Shows what has come meanwhile: at once, or, where the reader is at work on what is there, when asked to. */
function grown(app: HTMLElement): void {
  const atWork = /region=|view=/.test(location.hash) || app.contains(document.activeElement);
  if (!atWork) void show(app);
  else if (app.querySelector('.grown') === null) {
    app.prepend(
      el(
        'p',
        { class: 'grown', role: 'status' },
        'The trace has grown. ',
        el('button', { type: 'button', click: () => void show(app) }, 'Show all of it'),
      ),
    );
  }
}

async function part(section: Section, data: PageData, signal: AbortSignal): Promise<Node> {
  if (section.kind === 'leaks') return leaksPart(section.answer);
  if (section.kind === 'vcpus') return vcpusPart(section.answer);
  if (section.kind === 'locks') return locksPart(section.answer, section.summary);
  const picture = await loadPicture(section.kind, section.picture, data);
  if (section.kind === 'requests') return requestsPart(section, picture, lostOf(data), signal);
  return exitsPart(section, picture, data.words, { live: data.live !== undefined, signal });
}

/** The elements that the guest waits for in vain. */
function lostOf({ sections }: PageData): ElementJson[] {
  return sections.flatMap((section) => (section.kind === 'leaks' ? section.answer.elements : []));
}

function verdictsPart(verdicts: PageData['verdicts']): HTMLElement {
  return el(
    'section',
    { id: 'verdict', 'aria-labelledby': 'verdict-title' },
    el('h2', { id: 'verdict-title', class: 'visually-hidden' }, 'Verdict'),
    el(
      'ul',
      { class: 'verdicts' },
      ...verdicts.map(({ level, text, evidence }) =>
        el(
          'li',
          { class: level },
          el('span', { class: 'level' }, words[level]),
          el('a', { href: `#${evidence}`, click: (event: MouseEvent) => go(event, evidence) }, text),
        ),
      ),
    ),
  );
}

/** The address holds what the reader has picked: going to a part of the page must not overwrite that. */
function go(event: MouseEvent, id: string): void {
  event.preventDefault();
  const target = document.getElementById(id);
  if (target !== null) scrollTo(target);
  target?.focus({ preventScroll: true });
}

void main();
