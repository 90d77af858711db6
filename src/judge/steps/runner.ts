/** Runs steps on stored models. Records name input, output and samples by digest, so that no finished step is repeated. */
import { isObject, type Miss, Model } from "#ir";
import { type Change, type Context, type Learnt, namesAt, type OptionValues } from "#pass";
import { readFile } from "#platform";
import { sha256Text } from "../../core/files/hash.ts";
import type { Curve, Epoch, TrainingSummary } from "../../learn/train/training-state.ts";
import { secondsSince } from "../../runtime/run/elapsed.ts";
import { keyText } from "./keys.ts";
import { runStep, type StepData, selectionMetric } from "./step.ts";
import { changeStep, isOpened, type ParsedStep } from "./step-options.ts";
import { modelDigest, type Store } from "./store.ts";

export interface StepResult {
  readonly output: string;
  /** Options including defaults, as JSON data. Models are replaced by their digests. */
  readonly options: OptionValues;
  readonly changes: readonly Change[];
  readonly misses: readonly Pick<Miss, "at" | "reason" | "by">[];
  readonly history: readonly Epoch[] | undefined;
  readonly curve: Curve | undefined;
  readonly training: TrainingSummary | undefined;
  readonly learnt: Learnt | undefined;
  readonly warnings: readonly string[];
  readonly seconds: number;
}

export interface StepOutput extends Pick<StepResult, "changes" | "misses"> {
  readonly model: Model;
}

/** Without options, because these can contain paths of another machine. */
type RecordedStep = Omit<StepResult, "options">;

interface PerformedStep extends ParsedStep {
  readonly input: string;
  readonly model: Model;
  readonly result: Omit<RecordedStep, "output">;
  readonly events: readonly Parameters<Context["log"]>[0][];
}

export interface StepRunnerOptions {
  readonly store: Store;
  readonly data: StepData;
  /** Identifies the samples of each split; undefined without records. */
  readonly samples?: Readonly<Record<"train" | "calibrate", unknown>>;
}

export class StepRunner {
  readonly #options: StepRunnerOptions;
  readonly #context: Context;
  readonly #digests = new Map<Model | string, Promise<string>>();
  readonly #failures = new Map<string, unknown>();
  /** Attempts without records, so that the chosen options are not run again. */
  readonly #attempts = new WeakMap<OptionValues, PerformedStep>();

  /** @param context is used with a changed `open`: the name "original" opens the store's original. */
  constructor(options: StepRunnerOptions, context: Context) {
    const { store } = options;
    this.#options = options;
    this.#context = {
      ...context,
      open: (reference) => (reference === "original" ? store.open(store.original) : context.open(reference)),
    };
  }

  /** Returns for each step an id and whether its result is stored. Steps with equal inputs and options have equal ids. */
  async states(steps: readonly ParsedStep[]): Promise<readonly { readonly id: string; readonly done: boolean }[]> {
    let input = this.#options.store.original;
    const states: { readonly id: string; readonly done: boolean }[] = [];
    for (const step of steps) {
      const key = await this.keyOf(step, input);
      const [id, stored] = [await keyText(key), await this.#readResult(key)];
      states.push({ id, done: stored !== undefined });
      input = stored?.output ?? id;
    }
    return states;
  }

  /** Runs a step, or returns its stored result. @param overrides replaces parts of the context. @throws PithError as the pass. */
  async run(step: ParsedStep, input: string, overrides?: Partial<Context>): Promise<StepResult> {
    const result = await this.#runOnce(step, input, overrides);
    const options = await this.#plain(step.complete, kindWordOf);
    return { ...result, options: options as OptionValues };
  }

  /** A store without records does not keep the output, because most attempts are discarded. */
  async attempt(step: ParsedStep, input: string, overrides: Partial<Context>): Promise<StepOutput> {
    const { store } = this.#options;
    if (store.records === undefined) {
      const performedStep = await this.#perform(step, input, overrides);
      this.#attempts.set(step.options, performedStep);
      return { model: performedStep.model, ...performedStep.result };
    }
    const { changes, misses, output } = await this.run(step, input, overrides);
    return { changes, misses, model: await store.open(output) };
  }

  async #runOnce(step: ParsedStep, input: string, overrides?: Partial<Context>): Promise<RecordedStep> {
    const { records } = this.#options.store;
    if (records === undefined) return this.#runAndRecord(step, input, overrides);
    const key = await this.keyOf(step, input);
    const storedStep = await this.#readResult(key);
    if (storedStep !== undefined) return storedStep;
    const id = await keyText(key);
    const failure = this.#failures.get(id);
    if (failure !== undefined) throw failure;
    const canResume = step.split === "train" && namesAt(step.pass.options).includes("checkpoint");
    const checkpoint = canResume ? await records.checkpoint(key) : undefined;
    try {
      const result = await this.#runAndRecord(changeStep(step, { ...step.options, ...checkpoint }), input, overrides);
      // Last, because the record implies that the model exists.
      await records.write(key, result);
      if (checkpoint !== undefined) await records.removeCheckpoint(key);
      return result;
    } catch (error) {
      this.#failures.set(id, error);
      throw error;
    }
  }

  async #runAndRecord(step: ParsedStep, input: string, overrides?: Partial<Context>): Promise<RecordedStep> {
    const attempt = this.#attempts.get(step.options);
    const isSame = attempt?.pass === step.pass && attempt.input === input;
    const { model, result, events } = isSame ? attempt : await this.#perform(step, input, overrides);
    // The attempt was not logged.
    if (isSame) for (const event of events) (overrides?.log ?? this.#context.log)(event);
    return { output: await this.#options.store.keep(model), ...result };
  }

  async #perform(step: ParsedStep, input: string, overrides?: Partial<Context>): Promise<PerformedStep> {
    const { store, data } = this.#options;
    const model = await store.open(input);
    const events: Parameters<Context["log"]>[0][] = [];
    const stepContext = { ...this.#context, ...overrides };
    const context: Context = {
      ...stepContext,
      log: (event) => {
        events.push(event);
        stepContext.log(event);
      },
    };
    const startTime = performance.now();
    const outcome = await runStep(step, model, data, context);
    const { changes, misses, history, curve, training, learnt } = outcome;
    const result = {
      changes,
      misses: misses.map(({ at, reason, by }) => ({ at, reason, by })),
      history,
      curve,
      training,
      learnt,
      warnings: events.flatMap(({ level, text }) => (level === "warning" ? [text] : [])),
      seconds: secondsSince(startTime),
    };
    return { ...step, input, model, result, events };
  }

  async #readResult(key: unknown): Promise<RecordedStep | undefined> {
    const { store } = this.#options;
    const storedStep = (await store.records?.read(key)) as RecordedStep | undefined;
    return storedStep !== undefined && (await store.has(storedStep.output)) ? storedStep : undefined;
  }

  async keyOf(step: ParsedStep, input: string): Promise<unknown> {
    const { pass, options, complete, split } = step;
    const { samples, data } = this.#options;
    // Paths of modules differ between machines, so their hashes identify them.
    const values = Object.entries(complete).filter(([name, value]) => !isOpened(step, name, value));
    const { reference, furtherReferences } = pass;
    const further = furtherReferences === undefined ? [] : [options[furtherReferences] ?? []].flat();
    const references = reference === undefined ? [] : [options[reference] ?? "original", ...further];
    return {
      step: pass.id,
      options: await this.#plain(Object.fromEntries(values), uniqueWordOf),
      files: await this.#filesOf(step),
      input,
      samples: split && samples?.[split],
      metric: selectionMetric(step, data.metric)?.name,
      references: await Promise.all(
        references.map((reference) =>
          typeof reference === "string" ? this.#digestOf(reference) : this.#plain(reference, uniqueWordOf),
        ),
      ),
      seed: this.#context.seed,
      dryRun: this.#context.dryRun === true,
    };
  }

  /** Returns hashes of modules and files that the pass reads, except the models of `furtherReferences`. */
  async #filesOf(step: ParsedStep): Promise<Readonly<Record<string, string>>> {
    const { pass, options } = step;
    const readOptions = (pass.reads ?? []).filter((name) => name !== pass.furtherReferences);
    const hashes = Object.entries(options).map(async ([name, value]) =>
      typeof value === "string" && (readOptions.includes(name) || isOpened(step, name, value))
        ? [[name, await sha256Text([await readFile(value)])] as const]
        : [],
    );
    return Object.fromEntries((await Promise.all(hashes)).flat());
  }

  #digestOf(model: Model | string): Promise<string> {
    const digest = async (): Promise<string> => {
      if (model === "original") return this.#options.store.original;
      return modelDigest(typeof model === "string" ? await this.#context.open(model) : model);
    };
    const digestPromise = this.#digests.get(model) ?? digest();
    this.#digests.set(model, digestPromise);
    return digestPromise;
  }

  /** Converts options to JSON data: models to their digest, functions and class instances by `describe`. */
  async #plain(value: unknown, describe: (thing: object) => string): Promise<unknown> {
    if (value instanceof Model) return this.#digestOf(value);
    if (Array.isArray(value)) return Promise.all(value.map((element) => this.#plain(element, describe)));
    if (typeof value === "bigint") return String(value);
    if (typeof value === "function") return describe(value);
    if (typeof value !== "object" || value === null) return value;
    if (!isObject(value)) return describe(value);
    const entries = Object.entries(value).map(
      async ([name, inner]) => [name, await this.#plain(inner, describe)] as const,
    );
    return Object.fromEntries(await Promise.all(entries));
  }
}

const kindWordOf = (instance: object): string => (typeof instance === "function" ? "a function" : "an object");

const uniqueWords = new WeakMap<object, string>();

function uniqueWordOf(instance: object): string {
  const word = uniqueWords.get(instance) ?? crypto.randomUUID();
  uniqueWords.set(instance, word);
  return word;
}
