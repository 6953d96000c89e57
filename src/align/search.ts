import type { Stretches } from './evidence.ts';

/*
 * Finds what to add to the times of a moving recording to have those of a resting one, by what cannot be: no point of one may lie in a wall of the
 * other. Each point and wall together forbid a stretch of offsets. Whichever of the two holds the points, a Side is told such that
 * the offset is added to its points.
 */

/** The points of one thread, and the walls that the other recording has for them. */
export type Side = Stretches & {
  points: Float64Array;
  /** Whether the points are the moving recording's; else its walls are, and all times of both are negated. */
  moving: boolean;
};

/** A straight line: what to add to the moving recording's time t is `offset + rate × (t − pivot)`. */
export type Line = { offset: number; rate: number; pivot: number };

/** Points that can be judged, and those of them that are in a wall all the same. */
export type Judged = { judged: number; wrong: number };

export type Fit = Line &
  Judged & {
    /** The least and the greatest offset at any time of what both recorded that goes with what cannot be, from the line. */
    from: number;
    to: number;
    /** Stretches between walls that these points are in. */
    stretches: number;
  };

export type Search = {
  best: Fit | undefined;
  /** The best of all offsets elsewhere. */
  other: Judged | undefined;
  /** How many offsets were compared. */
  tried: number;
};

/** Offsets are compared in steps of this (ns), or of more where there would be more than `mostCells`. */
const cell = 8000;
const mostCells = 1 << 30;
/** Cells compared in one go. */
const chunk = 1 << 22;
/** Points times walls that one look at all offsets may take. */
const work = 2e7;
/** How long a part of the shorter recording is compared first: so short that clocks do not drift apart in it (ns); and how many points it must have. */
const shortest = 5e7;
const pointsWanted = 600;
const fewest = 40;
/** Parts that are tried. */
const parts = 5;
/** Offsets this near (ns) to the one found are no others. */
const near = 1e6;
/** Candidates that are looked at with all points. */
const looked = 16;
const followed = 3;
/** Candidates kept before the best are chosen. */
const mostCounts = 100_000;
/** Points with which other offsets are judged. */
const enoughPoints = 5000;
/** How far from an expected offset is looked for the best. */
const window = 3 * cell;
/** Clocks drift apart by no more than this. */
const mostDrift = 500e-6;
/** Points compared at once while the drift is followed. */
const segment = 400;
/** A part of a recording in which more than this of the points are in walls is not aligned. */
const mostWrong = 0.25;
/** With no more than this in walls an offset is not looked for elsewhere. */
const mostWrongSure = 0.05;

/** The best offset for the sides, and how much better it is than others. `alike`: both clocks are steered by the same hand, so that they do not drift. */
export function search(sides: readonly Side[], alike: boolean): Search {
  let tried = 0;
  let best: Fit | undefined;
  const elsewhere: number[] = [];
  for (const part of partsOf(sides)) {
    const found = candidates(part.sides);
    tried += found.tried;
    // What a cell of offsets hides, a look at each tells.
    const ranked = found.best
      .map(({ offset }) => {
        const items = itemsOf(part.sides, offset);
        const line = { offset, rate: 0, pivot: 0 };
        return sweep(part.sides, items, 0, items.time.length, line, window);
      })
      .sort((a, b) => strength(b) - strength(a));
    for (const { line } of ranked.slice(0, followed)) {
      const fit = follow(sides, line.offset, part.pivot, alike);
      if (fit !== undefined && (best === undefined || strength(fit) > strength(best))) best = fit;
      if (sure(best)) break;
    }
    elsewhere.push(...ranked.map(({ line }) => line.offset));
    if (sure(best)) break;
  }
  return { best, other: best && rival(sides, best, elsewhere), tried };
}

/** What a certain offset is worth that is known from elsewhere, without drift. */
export function fitAt(sides: readonly Side[], offset: number): Fit {
  const fit = judge(sides, inOrder(itemsOf(sides, offset)), { offset, rate: 0, pivot: 0 }, true);
  return { ...fit, from: 0, to: 0 };
}

/** Whether a fit is so good that no part of the recording has to be looked at for a better one. */
function sure(fit: Judged | undefined): boolean {
  return fit !== undefined && fit.wrong <= fit.judged * mostWrongSure;
}

function good(fit: Judged | undefined): boolean {
  return fit !== undefined && fit.wrong <= fit.judged * mostWrong;
}

/** The best of the offsets that are not near the one found. */
function rival(sides: readonly Side[], best: Fit, offsets: readonly number[]): Judged | undefined {
  let other: Judged | undefined;
  const step = Math.ceil(sides.reduce((sum, { points }) => sum + points.length, 0) / enoughPoints);
  const some = sides.map((side) => ({ ...side, points: thinned(side.points, step) }));
  for (const offset of offsets) {
    if (Math.abs(offset - best.offset) <= near) continue;
    const items = itemsOf(some, offset);
    const found = sweep(some, items, 0, items.time.length, { ...best, offset }, window);
    if (found.judged >= fewest && (other === undefined || strength(found) > strength(other))) other = found;
  }
  return other;
}

/** How much a fit says: the more points it judges, and the fewer are wrong. */
function strength({ judged, wrong }: Judged): number {
  const surplus = judged - 2 * wrong;
  return judged === 0 ? -1 : (surplus * Math.abs(surplus)) / judged;
}

function at({ offset, rate, pivot }: Line, time: number): number {
  return offset + rate * (time - pivot);
}

type Part = { sides: Side[]; pivot: number };

/** Short parts of that recording which is the shorter, from its midst outwards. */
function partsOf(sides: readonly Side[]): Part[] {
  const moving = reach(sides, true);
  const resting = reach(sides, false);
  const movingIsShorter = moving.to - moving.from <= resting.to - resting.from;
  const { from, to } = movingIsShorter ? moving : resting;
  const out: Part[] = [];
  const seen = new Set<string>();
  for (let n = 0; n < parts; n++) {
    const place = from + (to - from) * (0.5 + (n % 2 === 0 ? -1 : 1) * (Math.ceil(n / 2) / (parts + 1)));
    for (let length = shortest; ; length *= 2) {
      const [a, b] = [Math.max(from, place - length / 2), Math.min(to, place + length / 2)];
      const some = sides.map((side) => cutSide(side, movingIsShorter, a, b));
      const points = some.reduce((sum, side) => sum + (side.moving === movingIsShorter ? side.points.length : 0), 0);
      const walls = some.reduce((sum, side) => sum + (side.moving === movingIsShorter ? 0 : side.starts.length), 0);
      const whole = a <= from && b >= to;
      if (points + walls < pointsWanted && !whole) continue;
      const key = `${a} ${b}`;
      if (!seen.has(key)) out.push({ sides: some, pivot: movingIsShorter ? (a + b) / 2 : Number.NaN });
      seen.add(key);
      break;
    }
  }
  return out;
}

/** From when to when the moving or the resting recording has points or walls. */
function reach(sides: readonly Side[], moving: boolean): { from: number; to: number } {
  let [from, to] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const side of sides) {
    const own = side.moving === moving;
    const sign = side.moving ? 1 : -1;
    const ends = own
      ? [side.points[0], side.points[side.points.length - 1]]
      : [side.starts[0], side.ends[side.ends.length - 1]];
    for (const end of ends) {
      if (end === undefined) continue;
      from = Math.min(from, sign * end);
      to = Math.max(to, sign * end);
    }
  }
  return { from, to };
}

/** What a side has in a stretch of the moving (or the resting) recording. */
function cutSide(side: Side, moving: boolean, from: number, to: number): Side {
  const [a, b] = side.moving ? [from, to] : [-to, -from];
  if (side.moving === moving)
    return { ...side, points: side.points.subarray(after(side.points, a), after(side.points, b)) };
  const [first, last] = [after(side.ends, a), after(side.starts, b)];
  return { ...side, starts: side.starts.subarray(first, last), ends: side.ends.subarray(first, last) };
}

/** The index of the first number that is `value` or more. */
function after(numbers: Float64Array, value: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((numbers[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Every `step`th of the numbers. */
function thinned(numbers: Float64Array, step: number): Float64Array {
  return step <= 1
    ? numbers
    : Float64Array.from({ length: Math.ceil(numbers.length / step) }, (_, i) => numbers[i * step] as number);
}

type Offset = Judged & { offset: number };

/** Compares all offsets: for each, how many points are in walls, of those that could be. */
function candidates(sides: readonly Side[]): { best: Offset[]; tried: number } {
  const pairs = sides.reduce((sum, { points, starts }) => sum + points.length * starts.length, 0);
  const step = Math.ceil(pairs / work);
  const some = sides
    .filter(({ starts }) => starts.length > 0)
    .map((side) => ({ ...side, points: thinned(side.points, step) }));
  let [least, greatest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { points, starts, ends } of some) {
    if (points.length === 0) continue;
    least = Math.min(least, (starts[0] as number) - (points[points.length - 1] as number));
    greatest = Math.max(greatest, (ends[ends.length - 1] as number) - (points[0] as number));
  }
  if (!(greatest > least)) return { best: [], tried: 0 };
  const width = Math.max(cell, Math.ceil((greatest - least) / mostCells));
  const wrong = new Int32Array(chunk + 1);
  const judged = new Int32Array(chunk + 1);
  let [sumWrong, sumJudged] = [0, 0];
  let counts: Offset[] = [];
  const total = Math.ceil((greatest - least) / width);
  for (let begin = 0; begin < total; begin += chunk) {
    const cells = Math.min(chunk, total - begin);
    wrong.fill(0, 0, cells + 1);
    judged.fill(0, 0, cells + 1);
    const base = least + begin * width;
    vote(some, base, width, cells, wrong, judged);
    let [w, j] = [0, 0];
    // The best of each millisecond: its neighbours are no others.
    const block = Math.max(1, Math.round(near / width));
    let top = { offset: Number.NaN, wrong: 0, judged: 0 };
    for (let i = 0; i < cells; i++) {
      w += wrong[i] as number;
      j += judged[i] as number;
      sumWrong += w;
      sumJudged += j;
      if (
        j >= fewest &&
        (top.judged === 0 || w * top.judged < top.wrong * j || (w === 0 && top.wrong === 0 && j > top.judged))
      )
        top = { offset: base + (i + 0.5) * width, wrong: w, judged: j };
      if (((i + 1) % block === 0 || i === cells - 1) && top.judged > 0) {
        counts.push(top);
        top = { offset: Number.NaN, wrong: 0, judged: 0 };
      }
    }
    if (counts.length > mostCounts) counts = rarest(counts, sumWrong / Math.max(1, sumJudged));
  }
  return { best: rarest(counts, sumWrong / Math.max(1, sumJudged)), tried: total };
}

/** Those of the offsets at which the fewest points are in walls for what is usual: so few as are least likely by accident. */
function rarest(counts: readonly Offset[], wrongAsARule: number): Offset[] {
  const usual = Math.min(0.99, Math.max(0.01, wrongAsARule));
  const rank = ({ judged, wrong }: Judged) => (usual * judged - wrong) / Math.sqrt(judged * usual * (1 - usual));
  return counts.toSorted((a, b) => rank(b) - rank(a)).slice(0, looked);
}

/** Adds to each cell of offsets where points begin (and takes where they cease) to be judged, and to be in walls all over the cell. */
function vote(
  sides: readonly Side[],
  base: number,
  width: number,
  cells: number,
  wrong: Int32Array,
  judged: Int32Array,
): void {
  const end = base + cells * width;
  const bump = (counts: Int32Array, from: number, to: number) => {
    const first = Math.max(0, Math.ceil((from - base) / width));
    const last = Math.min(cells, Math.floor((to - base) / width));
    if (first >= last) return;
    counts[first] = (counts[first] as number) + 1;
    counts[last] = (counts[last] as number) - 1;
  };
  for (const { points, starts, ends } of sides) {
    const [begin, over] = [starts[0] as number, ends[ends.length - 1] as number];
    for (let i = 0; i < points.length; i++) {
      const point = points[i] as number;
      bump(judged, begin - point, over - point);
      const last = after(starts, end + point);
      for (let k = after(ends, base + point); k < last; k++)
        bump(wrong, (starts[k] as number) - point, (ends[k] as number) - point);
    }
  }
}

/** Points of all sides, with the moving recording's time of each. */
type Items = { time: Float64Array; side: Uint32Array; point: Float64Array };

/** Follows an offset that is good for a part of the recording to both ends, with what drift there is; undefined where it leads nowhere. */
function follow(sides: readonly Side[], offset: number, pivot: number, alike: boolean): Fit | undefined {
  const items = inOrder(itemsOf(sides, offset));
  const count = items.time.length;
  if (count === 0) return undefined;
  const start = Number.isNaN(pivot) ? (items.time[count >>> 1] as number) : pivot;
  const still = { offset, rate: 0, pivot: start };
  // A part of the recording may leave more room than the whole.
  const plain = sweep(sides, items, 0, count, still, 40 * cell);
  // Without drift, or with one too small to be seen.
  if (plain.wrong <= Math.max(1, plain.judged * 0.002)) return judge(sides, items, plain.line, alike);
  const segments = Math.max(1, Math.min(200, Math.floor(count / segment)));
  const size = Math.ceil(count / segments);
  const middle = Math.min(segments - 1, Math.floor(after(items.time, start) / size));
  const places: { time: number; offset: number }[] = [];
  const track = (first: number, direction: 1 | -1) => {
    let line = { ...still };
    let [lastTime, lastOffset] = [start, offset];
    for (let s = first; s >= 0 && s < segments; s += direction) {
      const [a, b] = [s * size, Math.min(count, (s + 1) * size)];
      const time = ((items.time[a] as number) + (items.time[b - 1] as number)) / 2;
      const expected = at(line, time);
      const reachable = window + mostDrift * Math.abs(time - lastTime) * (line.rate === 0 ? 1 : 0.3);
      const found = sweep(
        sides,
        items,
        a,
        b,
        { offset: expected, rate: line.rate, pivot: time },
        Math.min(reachable, 5e6),
      );
      if (found.judged < fewest / 2 || found.wrong > found.judged * mostWrong) continue;
      places.push({ time, offset: found.line.offset });
      const rate = places.length < 3 ? line.rate : slope(places);
      [lastTime, lastOffset] = [time, found.line.offset];
      line = { offset: lastOffset, rate, pivot: lastTime };
    }
  };
  track(middle, 1);
  track(middle - 1, -1);
  if (places.length < 3) return judge(sides, items, plain.line, alike);
  const rate = slope(places);
  const centre = median(places.map(({ time }) => time));
  const line = {
    offset: median(places.map((place) => place.offset - rate * (place.time - centre))),
    rate,
    pivot: centre,
  };
  const drifting = sweep(sides, items, 0, count, line, 4 * cell);
  if (!good(drifting)) return judge(sides, items, drifting.line, alike);
  return judge(sides, items, finer(sides, items, drifting), alike);
}

/** The same line, with the drift and the offset that let the fewest points be in walls. */
function finer(sides: readonly Side[], items: Items, drifting: Swept): Line {
  const count = items.time.length;
  const length = Math.max(1, (items.time[count - 1] as number) - (items.time[0] as number));
  let best = drifting;
  for (let step = (8 * cell) / length; step > 250 / length; step /= 2) {
    for (;;) {
      let better = false;
      for (const rate of [best.line.rate - step, best.line.rate + step]) {
        const found = sweep(sides, items, 0, count, { ...best.line, rate }, 4 * cell);
        if (found.wrong < best.wrong || (found.wrong === best.wrong && found.width > best.width)) {
          best = found;
          better = true;
        }
      }
      if (!better) break;
    }
  }
  return best.line;
}

/** In no order: what is enough to look at all of them. */
function itemsOf(sides: readonly Side[], offset: number): Items {
  const count = sides.reduce((sum, { points }) => sum + points.length, 0);
  const items = { time: new Float64Array(count), side: new Uint32Array(count), point: new Float64Array(count) };
  let n = 0;
  sides.forEach(({ points, moving }, side) => {
    for (const point of points) {
      items.time[n] = moving ? point : -point - offset;
      items.side[n] = side;
      items.point[n++] = point;
    }
  });
  return items;
}

function inOrder({ time, side, point }: Items): Items {
  const order = Uint32Array.from(time.keys()).sort((a, b) => (time[a] as number) - (time[b] as number));
  return {
    time: Float64Array.from(order, (i) => time[i] as number),
    side: Uint32Array.from(order, (i) => side[i] as number),
    point: Float64Array.from(order, (i) => point[i] as number),
  };
}

type Swept = Judged & { line: Line; width: number };

/** Of the items from `first` to `last`, the offset within `window` of the line at which the fewest are in walls, in the middle of the widest such stretch. */
function sweep(sides: readonly Side[], items: Items, first: number, last: number, line: Line, window: number): Swept {
  const edges: number[] = [];
  const signs: number[] = [];
  let [now, judged] = [0, 0];
  for (let i = first; i < last; i++) {
    const { starts, ends } = sides[items.side[i] as number] as Side;
    // Where the point is on the line; an offset beside it moves all points alike.
    const place = (items.point[i] as number) + at(line, items.time[i] as number);
    if (!(place >= (starts[0] as number) && place <= (ends[ends.length - 1] as number))) continue;
    judged++;
    for (let k = after(ends, place - window); k < starts.length && (starts[k] as number) < place + window; k++) {
      const [from, to] = [(starts[k] as number) - place, (ends[k] as number) - place];
      if (!(to > from)) continue;
      if (from <= -window) now++;
      else {
        edges.push(from);
        signs.push(1);
      }
      if (to < window) {
        edges.push(to);
        signs.push(-1);
      }
    }
  }
  const order = Uint32Array.from({ length: edges.length }, (_, i) => i).sort(
    // Where one wall ends another may begin: the moment between is none.
    (a, b) => (edges[a] as number) - (edges[b] as number) || (signs[a] as number) - (signs[b] as number),
  );
  let [wrong, from, to] = [Number.POSITIVE_INFINITY, 0, 0];
  let since = -window;
  const settle = (until: number) => {
    if (now < wrong || (now === wrong && until - since > to - from)) [wrong, from, to] = [now, since, until];
  };
  for (const i of order) {
    const edge = edges[i] as number;
    if (edge > since) settle(edge);
    now += signs[i] as number;
    since = edge;
  }
  settle(window);
  const offset = line.offset + (from + to) / 2;
  return { line: { ...line, offset }, width: to - from, wrong, judged };
}

/** What all points say of a line: how many are in walls, and between which lines those that are not leave room. */
function judge(sides: readonly Side[], items: Items, line: Line, alike: boolean): Fit {
  const count = items.time.length;
  const between = new Set<number>();
  // Lines that go with what cannot be, as points of a plane: a shift against the line at the pivot, and a drift against it.
  const length = Math.max(1, (items.time[count - 1] as number) - (items.time[0] as number));
  const [wide, steep] = [near, near / length];
  let room: Corner[] = [
    [-wide, -steep],
    [wide, -steep],
    [wide, steep],
    [-wide, steep],
  ];
  let [judged, wrong] = [0, 0];
  let [left, right] = [-near, near];
  let [begin, end] = [Number.NaN, Number.NaN];
  let firstStart = 0;
  const offsets = sides.map(({ starts }) => {
    const own = firstStart;
    firstStart += starts.length + 1;
    return own;
  });
  for (let i = 0; i < count; i++) {
    const side = items.side[i] as number;
    const { starts, ends } = sides[side] as Side;
    const time = items.time[i] as number;
    const place = (items.point[i] as number) + at(line, time);
    if (!(place >= (starts[0] as number) && place <= (ends[ends.length - 1] as number))) continue;
    judged++;
    if (Number.isNaN(begin)) begin = time;
    end = time;
    const next = after(ends, place);
    if ((starts[next] as number) < place && (ends[next] as number) > place) {
      wrong++;
      continue;
    }
    between.add((offsets[side] as number) + next);
    const up = (starts[next] ?? Number.POSITIVE_INFINITY) - place;
    const down = (ends[next - 1] ?? Number.NEGATIVE_INFINITY) - place;
    if (up < right) right = up;
    if (down > left) left = down;
    const lever = time - line.pivot;
    room = clip(clip(room, 1, lever, up), -1, -lever, -down);
  }
  const known = Number.isNaN(begin) ? [] : [begin, end];
  let [from, to] = [left, right];
  // A drift that nobody can see makes the offset less sure at the ends.
  if (!alike || line.rate !== 0)
    for (const [shift, drift] of room)
      for (const time of known) {
        from = Math.min(from, shift + drift * (time - line.pivot));
        to = Math.max(to, shift + drift * (time - line.pivot));
      }
  return { ...line, from, to, judged, wrong, stretches: between.size };
}

type Corner = readonly [shift: number, drift: number];

/** The part of a convex room where `a × shift + b × drift ≤ most`; all of the room where nothing would be left. */
function clip(room: Corner[], a: number, b: number, most: number): Corner[] {
  const over = (corner: Corner) => a * corner[0] + b * corner[1] - most;
  if (room.every((corner) => over(corner) <= 0)) return room;
  const left: Corner[] = [];
  room.forEach((corner, n) => {
    const next = room[(n + 1) % room.length] as Corner;
    const [here, there] = [over(corner), over(next)];
    if (here <= 0) left.push(corner);
    if (here <= 0 !== there <= 0) {
      const part = here / (here - there);
      left.push([corner[0] + part * (next[0] - corner[0]), corner[1] + part * (next[1] - corner[1])]);
    }
  });
  return left.length < 3 ? room : left;
}

/** The usual slope from one place to another: the middle one of all pairs, whatever a few are. */
function slope(places: readonly { time: number; offset: number }[]): number {
  const slopes: number[] = [];
  const step = Math.max(1, Math.floor(places.length / 60));
  for (let i = 0; i < places.length; i += step)
    for (let k = i + step; k < places.length; k += step) {
      const [a, b] = [places[i], places[k]] as [{ time: number; offset: number }, { time: number; offset: number }];
      if (a.time !== b.time) slopes.push((b.offset - a.offset) / (b.time - a.time));
    }
  return slopes.length === 0 ? 0 : median(slopes);
}

function median(numbers: number[]): number {
  numbers.sort((a, b) => a - b);
  return numbers[numbers.length >>> 1] as number;
}
