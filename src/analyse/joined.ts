import { kindNamed } from '../spans/kinds.ts';
import type { Analysis, Joinable } from '../trace/analysis.ts';
import { canJoin, type ExitOptions, Exits } from '../views/exits.ts';
import { canJoinLocks, type LocksOptions, LocksView } from '../views/locks.ts';
import { canJoinPairs, type PairsOptions, PairsView } from '../views/pairs.ts';
import { type SpansOptions, SpansView } from '../views/spans.ts';
import { type VcpuOptions, Vcpus } from '../views/vcpus.ts';

/** A question as plain data, to be asked about a stretch of a recording in another thread. */
export type Question =
  | { name: 'exits'; options: ExitOptions }
  | { name: 'vcpus'; options: VcpuOptions }
  | { name: 'locks'; options: LocksOptions }
  | { name: 'pairs'; options: PairsOptions }
  | { name: 'spans'; options: Omit<SpansOptions, 'kind'>; kind: string };

export type JoinableAnalysis = Analysis & Joinable<unknown>;

/** What an analysis asks; undefined where what it learns of stretches cannot be joined. */
export function questionOf(analysis: Analysis): Question | undefined {
  if (analysis instanceof Exits)
    return canJoin(analysis.options) ? { name: 'exits', options: analysis.options } : undefined;
  if (analysis instanceof Vcpus)
    return analysis.options.exits === undefined ? { name: 'vcpus', options: analysis.options } : undefined;
  if (analysis instanceof LocksView)
    return canJoinLocks(analysis.options) ? { name: 'locks', options: analysis.options } : undefined;
  if (analysis instanceof PairsView)
    return canJoinPairs(analysis.options) && plain(analysis.options)
      ? { name: 'pairs', options: analysis.options }
      : undefined;
  if (analysis instanceof SpansView) {
    const { kind, ...options } = analysis.options;
    const own = analysis.joins && kindNamed(kind.name) === kind;
    return own ? { name: 'spans', options, kind: kind.name } : undefined;
  }
  return undefined;
}

/** Filters are made of the user's text, and are no plain data. */
function plain({ from, to }: PairsOptions): boolean {
  return from.filter === undefined && to.filter === undefined;
}

/** Whether it asks how the time of vCPUs divides. */
export function followsThreads(question: Question): boolean {
  if (question.name !== 'exits') return question.name === 'vcpus' || question.name === 'spans';
  const { breakdown, slow, than, timeline } = question.options;
  return breakdown === true || slow !== undefined || than !== undefined || timeline === true;
}

/** Asks it of a stretch. */
export function analysisOf(question: Question): JoinableAnalysis {
  switch (question.name) {
    case 'exits':
      return new Exits(question.options);
    case 'vcpus':
      return new Vcpus(question.options);
    case 'locks':
      return new LocksView(question.options);
    case 'pairs':
      return new PairsView(question.options);
    case 'spans': {
      const kind = kindNamed(question.kind);
      if (kind === undefined) throw new RangeError(`no kind of span is called ${question.kind}`);
      return new SpansView({ ...question.options, kind });
    }
  }
}
