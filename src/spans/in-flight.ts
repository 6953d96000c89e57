import type { Window } from '../trace/analysis.ts';

/** Bins of the course of time. An even number: when they are full, two become one. */
const bins = 256;
const firstStep = 1 << 20;
/** Queues whose course is followed; of others only mean and maximum are known. */
const maxCourses = 512;

/** How many requests of one queue were open, over time. */
class Course {
  now = 0;
  max = 0;
  since = 0;
  /** Requests times time. */
  area = 0;
  /** By bin: the area within it, and the most that were open at once. */
  areas: Float64Array | undefined;
  maxima: Float64Array | undefined;
}

/** What one queue had in flight: over all, and in each stretch of `step` from `from` on. */
export type InFlightResult = { mean: number; max: number; means: number[]; maxima: number[] };

/** How many requests each queue has in flight over time, in bounded memory. */
export class InFlight {
  /** From when on it counts, where the first bin begins; and the width of each, in the clock's unit. */
  from = 0;
  step = firstStep;
  readonly #courses: (Course | undefined)[] = [];

  /** One more, or (`by` -1) one less. */
  change(queue: number, time: number, by: 1 | -1): void {
    const course = this.#courses[queue] ?? this.#begin(queue, time);
    this.#account(course, time);
    course.now = Math.max(0, course.now + by);
    if (time < this.from) return;
    if (course.now > course.max) course.max = course.now;
    if (course.maxima !== undefined) {
      const bin = this.#bin(time);
      if (course.now > (course.maxima[bin] as number)) course.maxima[bin] = course.now;
    }
  }

  /** What a queue had in flight in a stretch of time. */
  result(queue: number, { from, to }: Window): InFlightResult {
    const course = this.#courses[queue];
    if (course === undefined) return { mean: 0, max: 0, means: [], maxima: [] };
    this.#account(course, to);
    const used = Math.min(bins, Math.floor((to - this.from) / this.step) + 1);
    const means: number[] = [];
    for (let bin = 0; bin < used && course.areas !== undefined; bin++) {
      const begin = this.from + bin * this.step;
      const width = Math.min(to, begin + this.step) - begin;
      means.push(width > 0 ? (course.areas[bin] as number) / width : 0);
    }
    return {
      mean: to > from ? course.area / (to - from) : course.now,
      max: course.max,
      means,
      maxima: course.maxima === undefined ? [] : [...course.maxima.subarray(0, used)],
    };
  }

  #begin(queue: number, time: number): Course {
    while (this.#courses.length <= queue) this.#courses.push(undefined);
    const course = new Course();
    course.since = time;
    if (queue < maxCourses) {
      course.areas = new Float64Array(bins);
      course.maxima = new Float64Array(bins);
    }
    this.#courses[queue] = course;
    return course;
  }

  #account(course: Course, time: number): void {
    let at = Math.max(course.since, this.from);
    if (time > course.since) course.since = time;
    if (time <= at || course.now === 0) return;
    if (course.now > course.max) course.max = course.now;
    course.area += course.now * (time - at);
    const { areas, maxima } = course;
    if (areas === undefined || maxima === undefined) return;
    this.#bin(time);
    while (at < time) {
      const bin = this.#bin(at);
      const until = Math.min(time, this.from + (bin + 1) * this.step);
      areas[bin] = (areas[bin] as number) + course.now * (until - at);
      if (course.now > (maxima[bin] as number)) maxima[bin] = course.now;
      at = until;
    }
  }

  /** The bin of a time; makes all bins wider where it lies beyond them. */
  #bin(time: number): number {
    while (time - this.from >= this.step * bins) this.#coarsen();
    return Math.max(0, Math.floor((time - this.from) / this.step));
  }

  #coarsen(): void {
    for (const course of this.#courses) {
      if (course?.areas === undefined || course.maxima === undefined) continue;
      const { areas, maxima } = course;
      for (let bin = 0; bin < bins / 2; bin++) {
        areas[bin] = (areas[2 * bin] as number) + (areas[2 * bin + 1] as number);
        maxima[bin] = Math.max(maxima[2 * bin] as number, maxima[2 * bin + 1] as number);
      }
      areas.fill(0, bins / 2);
      maxima.fill(0, bins / 2);
    }
    this.step *= 2;
  }
}
