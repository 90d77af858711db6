/** A result in the fragment of an address: what was found, and the settings that find it again. The model and the samples are not in it. */
import { computed, signal } from "@preact/signals";
import type { Candidate, PresetId, Settings } from "./backend/backend.ts";
import { exampleAt } from "./examples.ts";
import { type ResultNumbers, resultNumbers } from "./measurements.ts";
import { findPreset, presets } from "./settings/presets.ts";
import { maxDrop, model, modelSource, samples, samplesRequest } from "./state/signals.ts";

export interface SharedResult extends ResultNumbers {
  /** Name of the model's file. */
  readonly model: string;
  readonly key: string;
  /** Name of the example; undefined for other models. */
  readonly example: string | undefined;
  readonly settings: Settings;
  readonly maxDrop: number;
  readonly preprocess: string | undefined;
  /** Name and number of the test samples; undefined without samples. */
  readonly data: string | undefined;
  readonly samples: number | undefined;
}

/** Name of the view in the fragment. */
const resultView = "result";

/** Fragment of the page's address. */
export const fragment = signal("");
/** The result of the address; undefined if it names none. */
export const sharedResult = computed(() => readResult(fragment.value));

/** Returns the address of a candidate; undefined if its settings are not known, or for a page that others cannot open. */
export function linkOf(candidate: Candidate): string | undefined {
  const { settings, run } = candidate;
  const { key, place } = modelSource.value ?? {};
  if (settings === undefined || settings.dtype !== undefined || key === undefined || place === undefined)
    return undefined;
  const numbers = resultNumbers(candidate);
  const fields: Readonly<Record<string, string | number | boolean | undefined>> = {
    model: model.value?.name,
    key: key.slice(0, 16),
    example: exampleAt(place)?.name,
    technique: settings.preset,
    amount: findPreset(settings).slider === undefined ? undefined : settings.amount,
    storage: findPreset(settings).isRecovered === true ? settings.storage : undefined,
    trained: settings.isTrained === true ? true : undefined,
    fast: settings.isFast === true ? true : undefined,
    goal: run === undefined ? undefined : maxDrop.value,
    preprocess: samplesRequest.value?.preprocess ?? samples.value?.preset,
    data: candidate.hasOtherTest ? undefined : run?.data.test.name,
    samples: candidate.hasOtherTest ? undefined : run?.data.test.count,
    kind: numbers.kind,
    before: numbers.before,
    after: numbers.after,
    changed: numbers.changed?.count,
    of: numbers.changed?.of,
  };
  const query = new URLSearchParams(
    Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  );
  return `${location.href.split("#")[0]}#${resultView}?${query}`;
}

/** Returns a number of samples that data can have. */
const samplesOf = (count: number | undefined): number | undefined =>
  count !== undefined && Number.isSafeInteger(count) && count > 0 ? count : undefined;

/** Reads the result of a fragment that anybody can have written. Returns undefined for fragments without a result. */
export function readResult(text: string): SharedResult | undefined {
  const [view, query = ""] = text.replace(/^#/, "").split("?");
  const fields = new URLSearchParams(query);
  const numberOf = (name: string): number | undefined => {
    const value = Number(fields.get(name) ?? Number.NaN);
    return Number.isFinite(value) && value >= 0 ? value : undefined;
  };
  const [preset] = presets.filter(({ id, isForFolders }) => id === fields.get("technique") && isForFolders !== true);
  const [before, after] = [numberOf("before"), numberOf("after")];
  if (view !== resultView || preset === undefined || before === undefined || after === undefined) return undefined;
  const [count, total] = [numberOf("changed"), numberOf("of")];
  const { slider } = preset;
  const amount = Math.min(slider?.max ?? 0, Math.max(slider?.min ?? 0, numberOf("amount") ?? slider?.initial ?? 0));
  return {
    model: fields.get("model") ?? "model.onnx",
    key: fields.get("key") ?? "",
    example: fields.get("example") ?? undefined,
    settings: {
      preset: preset.id satisfies PresetId,
      amount,
      storage: fields.get("storage") === "float32" ? "float32" : "static",
      ...(fields.get("trained") === "true" ? { isTrained: true } : {}),
      ...(fields.get("fast") === "true" ? { isFast: true } : {}),
    },
    maxDrop: numberOf("goal") ?? 1,
    preprocess: fields.get("preprocess") ?? undefined,
    data: fields.get("data") ?? undefined,
    samples: samplesOf(numberOf("samples")),
    kind: fields.get("kind") === "disk" ? "disk" : "download",
    before,
    after,
    changed: count === undefined || total === undefined ? undefined : { count, of: total },
  };
}
