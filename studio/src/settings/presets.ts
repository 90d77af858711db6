/** Lists the techniques that the page offers, with their settings and the recipe that each setting means. */
import { type MakeRequest, type PresetId, partSizes, type Settings } from "../backend/backend.ts";

export interface Slider {
  readonly label: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly initial: number;
  text(amount: number): string;
}

export interface Preset {
  readonly id: PresetId;
  readonly name: string;
  readonly summary: string;
  readonly needsSamples: boolean;
  readonly slider?: Slider;
  /** Whether the model is recovered, and the user chooses how, and how the remaining weights are stored. */
  readonly isRecovered?: boolean;
  /** Whether it makes a file of a folder that transformers.js loads. */
  readonly isForFolders?: boolean;
  /** How the technique takes less time; undefined if it is always fast. */
  readonly fast?: string;
  /** Steps of the recipe. */
  steps(settings: Settings): readonly object[];
}

const percent = (amount: number): string => `${Math.round(100 * amount)}\u00a0%`;

/** Options of calibration in a fast run. */
const quickOptions = { samples: 50, biasCorrection: "none", equalize: false };
const staticStep = ({ isFast }: Settings): object => ({
  quantize: { scheme: "static", ...(isFast ? quickOptions : {}) },
});
const fewSamples = "fast: 50 calibration samples and no corrections; can lose more";

export const presets: readonly Preset[] = [
  {
    id: "static",
    name: "int8 static",
    summary: "weights and activations; needs samples",
    needsSamples: true,
    fast: fewSamples,
    steps: (settings) => [staticStep(settings)],
  },
  {
    id: "weights",
    name: "int8 weights",
    summary: "weights only, computed in float",
    needsSamples: false,
    steps: () => [{ quantize: { scheme: "weights" } }],
  },
  {
    id: "bits",
    name: "fewer bits",
    summary: "weights only, computed in float",
    needsSamples: false,
    slider: { label: "bits", min: 2, max: 6, step: 1, initial: 4, text: (bits) => String(bits) },
    fast: "fast: rounds to the nearest value, without samples",
    steps: ({ amount: bits, isFast }) => [
      { quantize: { scheme: "weights", bits, ...(isFast ? { rounder: "nearest", biasCorrection: "none" } : {}) } },
    ],
  },
  {
    id: "float16",
    name: "float16",
    summary: "half precision",
    needsSamples: false,
    steps: () => [{ quantize: { scheme: "float16" } }],
  },
  {
    id: "channels",
    name: "prune channels",
    summary: "removes channels and recovers; needs samples",
    needsSamples: true,
    isRecovered: true,
    slider: { label: "remove", min: 0.05, max: 0.7, step: 0.05, initial: 0.2, text: percent },
    fast: "fast: no recovery, so more is lost",
    steps: ({ amount }) => [{ prune: { amount, structured: true } }],
  },
  {
    id: "low-rank",
    name: "low rank",
    summary: "splits layers into two smaller ones; needs samples",
    needsSamples: true,
    isRecovered: true,
    slider: { label: "keep", min: 0.2, max: 0.95, step: 0.05, initial: 0.7, text: percent },
    fast: "fast: no recovery, so more is lost",
    steps: ({ amount }) => [{ factorize: { budget: amount } }],
  },
  {
    id: "download",
    name: "smallest download",
    summary: "the smallest of 8 bits: values that compress well, computed in float; needs samples",
    needsSamples: true,
    slider: {
      label: "error",
      min: 0.0005,
      max: 0.02,
      step: 0.0005,
      initial: 0.0025,
      text: (amount) => `${(100 * amount).toFixed(2)}\u00a0%`,
    },
    fast: fewSamples,
    steps: ({ amount: distortion, isFast }) => [
      { quantize: { scheme: "weights", rounder: "rdoq", distortion, ...(isFast ? quickOptions : {}) } },
    ],
  },
  {
    id: "search",
    name: "search",
    summary: "all of these, combined within the goal; needs samples",
    needsSamples: true,
    slider: { label: "for", min: 1, max: 30, step: 1, initial: 5, text: (minutes) => `${minutes}\u00a0min` },
    steps: () => [],
  },
  {
    id: "dtype",
    name: "for transformers.js",
    summary: "a file that the folder’s pages load by its dtype",
    needsSamples: false,
    isForFolders: true,
    fast: "fast: rounds to the nearest value, without samples",
    steps: ({ dtype, isFast }) => [{ quantize: { dtype: dtype?.name, ...(isFast ? { rounder: "nearest" } : {}) } }],
  },
];

export const findPreset = ({ preset }: Pick<Settings, "preset">): Preset =>
  presets.find(({ id }) => id === preset) ?? (presets[0] as Preset);

export const initialSettings = (preset: PresetId): Settings => ({
  preset,
  amount: findPreset({ preset }).slider?.initial ?? 0,
  storage: "static",
});

/** Returns "prune channels, remove 10 %, int8". */
export function nameOf(settings: Settings, hasAmount = true): string {
  const { name, slider, isRecovered } = findPreset(settings);
  const amount = slider === undefined || !hasAmount ? "" : `, ${slider.label} ${slider.text(settings.amount)}`;
  const text = settings.dtype?.name ?? (settings.preset === "bits" ? `${settings.amount} bits` : `${name}${amount}`);
  const parts = [
    text,
    isRecovered === true && settings.isTrained && "trained",
    isRecovered === true && settings.storage === "static" && "int8",
    settings.isFast && "fast",
  ];
  return parts.filter((part) => part !== false && part !== undefined).join(", ");
}

/** Returns the recipe of the settings, or the search. */
export function recipeOf(settings: Settings): MakeRequest["made"] {
  if (settings.preset === "search") return { minutes: settings.amount };
  const { steps, isRecovered } = findPreset(settings);
  if (isRecovered !== true) return { version: 1, steps: steps(settings) };
  const storage = settings.storage === "static" ? [staticStep(settings)] : [];
  if (settings.isFast === true) return { version: 1, steps: [...steps(settings), ...storage] };
  const recovery = { recover: settings.isTrained === true ? { until: "end-to-end" } : {} };
  const samples = { calibration: partSizes.calibrate, training: "all" } as const;
  return { version: 1, samples, steps: [...steps(settings), recovery, ...storage] };
}
