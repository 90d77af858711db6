/** Measures how much of its time limit a search has used. The store keeps the seconds, so that a stopped search continues with the rest. */
import type { Context } from "#pass";
import type { Candidate } from "../judge/run/attempt.ts";
import type { Store } from "../judge/steps/store.ts";
import { secondsSince } from "../runtime/run/elapsed.ts";
import type { SearchOptions } from "./search-setup.ts";

/** `at`: end in milliseconds since 1970. `by`: the options of the search. */
interface CandidateTime {
  readonly seconds: number;
  readonly at: number;
  readonly by: string;
}

interface SearchStart {
  readonly at: number;
  readonly ended: boolean;
}

export class SearchClock {
  readonly #store: Store;
  readonly #scope: object;
  readonly #search: string;
  #startTime = 0;
  readonly #finishedEarlier = new Set<string>();

  constructor(store: Store, options: SearchOptions, metricInputs: unknown, { seed }: Context) {
    this.#store = store;
    this.#scope = { of: store.original, judging: metricInputs, seed };
    const { goal, force, purpose, targetSize, faster, minSpeed, techniques, minutes, steps, front } = options;
    const settings = { goal, force, purpose, targetSize, faster, minSpeed, techniques, minutes, steps, front };
    this.#search = JSON.stringify(settings);
  }

  /** Starts or continues the clock. @returns how many candidates have a record, and the seconds that this search spent on them. */
  async begin(
    candidates: readonly Candidate[],
  ): Promise<{ readonly knownCount: number; readonly spentSeconds: number }> {
    const start = (await this.#store.records?.read(this.#startKey)) as SearchStart | undefined;
    this.#startTime = start?.ended === false ? start.at : Date.now();
    await this.#writeStart(false);
    let [knownCount, spentSeconds] = [0, 0];
    for (const candidate of candidates) {
      const record = await this.#read(candidate);
      if (record === undefined) continue;
      knownCount++;
      if (this.#isOfThisSearch(record)) spentSeconds += record.seconds;
      else this.#finishedEarlier.add(candidate.name);
    }
    return { knownCount, spentSeconds };
  }

  end(): Promise<void> {
    return this.#writeStart(true);
  }

  isDone(name: string): boolean {
    return this.#finishedEarlier.has(name);
  }

  /** Records a candidate's duration. @param started by `performance.now()`. @returns its seconds, and the part that counts for this search. */
  async measure(candidate: Candidate, started: number): Promise<{ readonly seconds: number; readonly spent: number }> {
    const seconds = secondsSince(started);
    const record = await this.#read(candidate);
    if (record !== undefined)
      return { seconds: record.seconds, spent: this.#isOfThisSearch(record) ? record.seconds : seconds };
    const newRecord: CandidateTime = { seconds, at: Date.now(), by: this.#search };
    await this.#store.records?.write(this.#key(candidate), newRecord);
    return { seconds, spent: seconds };
  }

  #isOfThisSearch({ at, by }: CandidateTime): boolean {
    return by === this.#search && at >= this.#startTime;
  }

  get #startKey(): unknown {
    return { begun: this.#search, ...this.#scope };
  }

  #key({ recipe }: Candidate): unknown {
    return { search: recipe, ...this.#scope };
  }

  async #read(candidate: Candidate): Promise<CandidateTime | undefined> {
    return (await this.#store.records?.read(this.#key(candidate))) as CandidateTime | undefined;
  }

  async #writeStart(hasEnded: boolean): Promise<void> {
    const startRecord: SearchStart = { at: this.#startTime, ended: hasEnded };
    await this.#store.records?.write(this.#startKey, startRecord);
  }
}
