import { watched } from '../spans/holes.ts';
import { Requests } from '../spans/requests.ts';
import { openAgain } from '../trace/again.ts';
import type { Analysis } from '../trace/analysis.ts';
import type { Trace } from '../trace/trace.ts';
import { type CountOptions, CountView } from '../views/count.ts';
import { type ExitOptions, type ExitResult, Exits } from '../views/exits.ts';
import { Inventory, type InventoryView } from '../views/inventory.ts';
import { judgeLeaks, type LeakReport } from '../views/leaks.ts';
import type { LocksResult } from '../views/lock-answers.ts';
import { type LocksOptions, LocksView } from '../views/locks.ts';
import { type PairsOptions, PairsView } from '../views/pairs.ts';
import type { Reading } from '../views/reading.ts';
import { type RequestsOptions, type RequestsResult, RequestsView } from '../views/requests.ts';
import { type SpansOptions, type SpansResult, SpansView } from '../views/spans.ts';
import { type VcpuOptions, Vcpus, type VcpusResult } from '../views/vcpus.ts';
import { type WakesOptions, WakesView } from '../views/wakes.ts';
import { type ReadOptions, read } from './read.ts';

/** What a trace can be asked; each as the command of that name asks it. */
export type Questions = {
  /** What the trace holds. */
  events?: true;
  exits?: ExitOptions;
  vcpus?: VcpuOptions;
  leaks?: true;
  requests?: RequestsOptions;
  locks?: LocksOptions;
  pairs?: PairsOptions;
  count?: CountOptions;
  wakes?: WakesOptions;
  /** Spans of any kind; several may be asked. */
  spans?: SpansOptions | readonly SpansOptions[];
};

type Results = {
  events: InventoryView;
  exits: ExitResult;
  vcpus: VcpusResult;
  leaks: LeakReport;
  requests: RequestsResult;
  locks: LocksResult;
  spans: SpansResult[];
} & { [Name in keyof typeof alone]: ReturnType<NonNullable<ReturnType<(typeof alone)[Name]>>['result']> };

/** The views that need no other's spans, by what they are asked. */
const alone = {
  pairs: ({ pairs }: Questions) => pairs && new PairsView(pairs),
  count: ({ count }: Questions) => count && new CountView(count),
  wakes: ({ wakes }: Questions) => wakes && new WakesView(wakes),
};

/** The answers to the questions that were asked, and how the trace was read: what was lost, and whether all of it was read. */
export type Answers<Q extends Questions> = { [Name in keyof Q & keyof Results]: Results[Name] } & { reading: Reading };

/**
 * Reads a trace once, and answers all questions from that. What several questions need (who is out of the guest, who has which mutex) is found once. Throws a TraceError where
 * nothing could be read, and a UsageError for a time range that there cannot be.
 */
export async function analyse<const Q extends Questions>(
  trace: Trace,
  questions: Q,
  options: ReadOptions = {},
): Promise<Answers<Q>> {
  // As the commands do: holes that nothing marks are set aside, also those that come to light late.
  let whole = watched(trace);
  let asked = new Asked(whole, questions);
  let reading = await read(whole, asked.analyses, options);
  const stopped = options.watch !== undefined && reading.partial.length > 0;
  const { foresight } = whole;
  const spared = !whole.regrets && options.from === undefined && options.to === undefined;
  const again = stopped || spared || foresight === undefined ? undefined : await openAgain(trace);
  if (again !== undefined) {
    await trace.close();
    whole = watched(again, foresight);
    asked = new Asked(whole, questions);
    reading = await read(whole, asked.analyses, options);
  }
  if (reading.partial.length === 0) await whole.close();
  const answers = Object.entries<() => unknown>(asked.results).map(([name, result]) => [name, result()]);
  return { ...Object.fromEntries(answers), reading } as Answers<Q>;
}

/** Answers, each made when it is asked for. */
type Lazy<Q extends Questions> = { [Name in keyof Q & keyof Results]: () => Results[Name] };

/** The views of some questions, in the order in which each takes a batch: one that looks at another's spans comes after it. */
export class Asked<const Q extends Questions> {
  readonly analyses: Analysis[] = [];
  readonly results: Lazy<Q>;

  constructor(trace: Trace, questions: Q) {
    this.results = this.#views(trace, questions) as Lazy<Q>;
  }

  #views(trace: Trace, questions: Questions): Partial<Lazy<Required<Questions>>> {
    const { events, exits, vcpus, leaks, requests, locks, spans } = questions;
    const results: Partial<Lazy<Required<Questions>>> = {};
    if (events === true) {
      const inventory = this.#add(new Inventory());
      results.events = () => inventory.view(trace);
    }
    const mutexes = locks && this.#add(new LocksView(locks));
    if (mutexes !== undefined) results.locks = () => mutexes.result();
    // Waits within an exit, and for a request, are those of all mutexes.
    const shared = locks?.mutexes === undefined && locks?.bql === undefined ? mutexes : undefined;
    const out = exits && this.#add(new Exits({ locks: shared, timeline: vcpus?.timeline === true, ...exits }));
    if (out !== undefined) results.exits = () => out.result();
    if (vcpus !== undefined) {
      // Exits that were chosen from, or are in other units, tell not all.
      const all = exits?.scale === undefined && exits?.vcpus === undefined && exits?.pids === undefined;
      const time = this.#add(new Vcpus({ exits: all ? out : undefined, ...vcpus }));
      results.vcpus = () => time.result();
    }
    const path = requests && this.#add(new RequestsView({ locks: shared, ...requests }));
    if (path !== undefined) results.requests = () => path.result();
    if (leaks === true) {
      // Who follows requests knows their elements.
      const elements = path?.path.requests ?? this.#add(new Requests());
      results.leaks = () => judgeLeaks(elements, trace.clock);
    }
    for (const [name, make] of Object.entries(alone)) {
      const view = make(questions);
      if (view === undefined) continue;
      this.#add(view);
      Object.assign(results, { [name]: () => view.result() });
    }
    if (spans !== undefined) {
      const views = (Array.isArray(spans) ? spans : [spans]).map((one: SpansOptions) => this.#add(new SpansView(one)));
      results.spans = () => views.map((view) => view.result());
    }
    return results;
  }

  #add<T extends Analysis>(analysis: T): T {
    this.analyses.push(analysis);
    return analysis;
  }
}
