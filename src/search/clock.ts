/**
 * Time spent by a search. The store records the seconds per candidate, so a stopped search continues with the rest. Results of a finished one are
 * free.
 */

import type { Context } from "../core/pass/pass.ts";
import type { Candidate } from "../judge/run/variant.ts";
import type { Store } from "../judge/steps/store.ts";
import { secondsSince } from "../runtime/run/elapsed.ts";
import type { SearchOptions } from "./search-task.ts";

/** `at` is the end in milliseconds since 1970, because other processes and machines try candidates too. */
interface Taken {
  readonly seconds: number;
  readonly at: number;
  readonly by: string;
}

interface Begun {
  readonly at: number;
  readonly ended: boolean;
}

export class Clock {
  readonly #store: Store;
  readonly #scope: object;
  readonly #search: string;
  #began = 0;
  readonly #earlier = new Set<string>();

  constructor(store: Store, options: SearchOptions, judging: unknown, { seed }: Context) {
    this.#store = store;
    this.#scope = { of: store.original, judging, seed };
    const { goal, force, purpose, targetSize, faster, leastSpeed, techniques, minutes, steps, front } = options;
    const settings = { goal, force, purpose, targetSize, faster, leastSpeed, techniques, minutes, steps, front };
    this.#search = JSON.stringify(settings);
  }

  /** @param candidates that may have been tried before. @returns the number of known ones, and the seconds that this search has spent on them. */
  async begin(candidates: readonly Candidate[]): Promise<{ readonly known: number; readonly spent: number }> {
    const begun = (await this.#store.records?.read(this.#own)) as Begun | undefined;
    this.#began = begun?.ended === false ? begun.at : Date.now();
    await this.#note(false);
    let [knownCount, spent] = [0, 0];
    for (const candidate of candidates) {
      const record = await this.#read(candidate);
      if (record === undefined) continue;
      knownCount++;
      if (this.#isOwn(record)) spent += record.seconds;
      else this.#earlier.add(candidate.name);
    }
    return { known: knownCount, spent };
  }

  end(): Promise<void> {
    return this.#note(true);
  }

  /** An earlier search has tried it, so it takes no time unless its steps were removed. */
  isDone(name: string): boolean {
    return this.#earlier.has(name);
  }

  /** @param started by `performance.now()`. @returns the duration, and the part that counts as time of this search. */
  async measure(candidate: Candidate, started: number): Promise<{ readonly seconds: number; readonly spent: number }> {
    const seconds = secondsSince(started);
    const record = await this.#read(candidate);
    if (record !== undefined) return { seconds: record.seconds, spent: this.#isOwn(record) ? record.seconds : seconds };
    const newRecord: Taken = { seconds: seconds, at: Date.now(), by: this.#search };
    await this.#store.records?.write(this.#key(candidate), newRecord);
    return { seconds: seconds, spent: seconds };
  }

  #isOwn({ at, by }: Taken): boolean {
    return by === this.#search && at >= this.#began;
  }

  get #own(): unknown {
    return { begun: this.#search, ...this.#scope };
  }

  #key({ recipe }: Candidate): unknown {
    return { search: recipe, ...this.#scope };
  }

  async #read(candidate: Candidate): Promise<Taken | undefined> {
    return (await this.#store.records?.read(this.#key(candidate))) as Taken | undefined;
  }

  async #note(ended: boolean): Promise<void> {
    const begun: Begun = { at: this.#began, ended };
    await this.#store.records?.write(this.#own, begun);
  }
}
