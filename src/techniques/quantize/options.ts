/** Options of `quantize`: schemes, widths, formats, rounding and ranges. */
import * as v from "valibot";
import { datasetOption } from "#batches";
import { optionError } from "#ir";
import type { LayerSelection, OptionValues } from "#pass";
import { checkWith, countOption, option, overridesOption, selectionOptions, withHelp } from "#pass";
import { type DtypeName, dtypeNames, dtypes, stepsOfDtype } from "./dtypes.ts";
import { rounders } from "./rounders/index.ts";
import { defaultDistortion } from "./rounders/rdoq.ts";
import { targetOption } from "./runtimes.ts";
import {
  admitsLowEntropy,
  hasOption,
  isLowEntropy,
  reconstructsOutputs,
  settingsOfSteps,
  withDtype,
} from "./settings.ts";

export const rangeMethods = ["min-max", "percentile", "mse"] as const;

const bits = v.picklist([1, 2, 3, 4, 5, 6, 7, 8], "takes a whole number from 1 to 8");
const weights = v.picklist(["int8", "uint8", "palette"]);
const block = v.picklist([16, 32, 64, 128, 256], "takes 16, 32, 64, 128 or 256, for which ONNX Runtime has kernels");

const activationTypes = v.picklist(["uint8", "int8", "uint16", "int16"]);

const integerHint =
  '8 bits: `scheme: "static"` with `data`, `scheme: "dynamic"` without; `scheme: "weights"` stores weights alone.';
const fourBits = '4 bits: `scheme: "weights"` `bits: 4`; for transformers.js `dtype: "q4"`.';
const halfHint = '16 bits: `scheme: "float16"`, or bfloat16.';

const formats = "Formats:";
const lowEntropy = "Rounding method rdoq (docs/download.md):";
const accuracyGroup = "Ranges and corrections:";

const schema = v.strictObject({
  /** "weights": float arithmetic. "dynamic", "static": integer arithmetic, with ranges computed in every run or measured on `data`. */
  scheme: option(
    v.picklist(
      ["weights", "dynamic", "static", "float16", "bfloat16"],
      'expected "weights", "dynamic", "static", "float16" or "bfloat16"',
    ),
    "what to store and compute in fewer bits; required without --dtype",
    {
      common: true,
      meanings: {
        title: "Schemes (--scheme)",
        rows: [
          ["weights", "8-bit weights, arithmetic in float"],
          ["dynamic", "8-bit weights and activations, integer arithmetic, ranges computed at run time"],
          ["static", "8-bit weights and activations, integer arithmetic, ranges measured on data"],
          ["float16", "all weights as 16-bit floats, arithmetic in 32 bits (--dtype fp16: also in 16)"],
          ["bfloat16", "all weights as bfloat16: half the size of float32, same range"],
        ],
      },
      instead: {
        int8: integerHint,
        uint8: integerHint,
        q8: integerHint,
        int4: fourBits,
        uint4: fourBits,
        q4: fourBits,
        fp16: halfHint,
        half: halfHint,
      },
    },
  ),
  /** Name of a variant of transformers.js, instead of a scheme. */
  dtype: option(v.picklist(dtypeNames), "transformers.js variant, instead of a scheme", {
    meanings: {
      title: "Variants (--dtype)",
      rows: dtypeNames.map((name) => [name, `${dtypes[name].meaning} (model${dtypes[name].suffix}.onnx)`]),
    },
  }),
  /** Bits of a weight (8). With 4 and 2, products and tables use blocks. int8 weights of integer products have 7: sums overflow without VNNI. */
  bits: option(bits, "bits per weight: weights 8 (or 2 to 6), dynamic 7 (or 8), static 7 (or 4, 8), palettes any", {
    value: "n",
    common: true,
    instead: Object.fromEntries(Array.from({ length: 24 }, (_, index) => [String(9 + index), halfHint])),
  }),
  /** Weights per row that share a scale: 16, 32, 64, 128 or 256 (32 with 4 and 2 bits; else one scale per output channel). */
  block: option(block, "weights of a row that share a scale (default with 4 and 2 bits: 32)", {
    value: "n",
    group: formats,
  }),
  /** Standard ONNX operators only (false): blocks use DequantizeLinear, also for convolutions with 4 or 8 bits. */
  onnxOnly: withHelp(v.optional(v.boolean(), false), "standard ONNX operators only, also for blocks of convolutions", {
    group: formats,
  }),
  /** Store a zero point per block (false; by default true for language models in 4 bits without `rounder` and `onnxOnly`). */
  zeroPoints: option(v.boolean(), "store a zero point per block", { group: formats }),
  /** Rounding method: a name, a method, or a module's path. Default: "nearest"; scheme "weights": "gptaq" below 8 bits with `data`, "mse" for decoders in 4 bits. */
  rounder: option(
    rounders.schema,
    "rounding, or a module (default: nearest; low bits: gptaq with --data, mse for decoders)",
    { value: "rounder", common: true, meanings: rounders.meanings },
  ),
  /** Rounding method "rdoq": error of the outputs that rounding weights may add, relative to their power (0.0025). */
  distortion: option(
    v.pipe(v.number(), v.gtValue(0)),
    `rdoq: error of the outputs, relative to their power (default: ${defaultDistortion})`,
    { value: "share", group: lowEntropy },
  ),
  /** One scale per output channel, instead of one per weight (true). */
  perChannel: withHelp(v.optional(v.boolean(), true), "one scale per output channel, instead of one per weight", {
    negated: "per-tensor weight scales, instead of one scale per output channel",
    group: formats,
  }),
  ...selectionOptions("quantize"),
  /** Options of individual layers: { "layer4*": { perChannel: false }, head: { float: true } }. */
  overrides: overridesOption({
    bits: v.optional(bits),
    block: v.optional(block),
    onnxOnly: v.optional(v.boolean()),
    zeroPoints: v.optional(v.boolean()),
    perChannel: v.optional(v.boolean()),
    weights: v.optional(weights),
    activations: v.optional(activationTypes),
    float: v.optional(v.boolean()),
  }),
  /** Type of quantized weights (int8; dynamic: the faster type). Scheme "weights" adds "palette". */
  weights: option(weights, "type of quantized weights (default: int8; dynamic: int8 or uint8, whichever is faster)", {
    group: formats,
    meanings: {
      title: "Codes (--weights)",
      rows: [
        ["int8, uint8", "integers"],
        ["palette", "each weight is an index of --bits bits into a table of values for its layer"],
      ],
    },
  }),
  /** Type of activations ("uint8"). With 16 bits, ONNX Runtime's CPU provider computes in float. */
  activations: withHelp(v.optional(activationTypes, "uint8"), "type of activations", { group: formats }),
  /** Static: how ranges are chosen. "min-max" covers all values; the others clip rare ones. */
  ranges: withHelp(v.optional(v.picklist(rangeMethods), "min-max"), "static: ranges of activations", {
    group: accuracyGroup,
    meanings: {
      title: "Ranges (--ranges)",
      rows: [
        ["min-max", "all numbers"],
        ["percentile", "clip one value in 100,000: try it first if min-max loses too much"],
        ["mse", "least squared error"],
      ],
    },
  }),
  /** Equalize channels across layers before quantizing (true). Without `data`, only weights with a single scale are equalized. */
  equalize: withHelp(
    v.optional(v.boolean(), true),
    "migrate outliers between layers before quantizing, if it lowers the output error",
    { negated: "skip equalization and bias absorption (docs/quantization.md)", group: accuracyGroup },
  ),
  /** Correct scales and biases layer by layer if that helps held-out samples: "full" or "none" (default for 3 bits or more by gptaq). */
  biasCorrection: withHelp(
    v.optional(v.picklist(["full", "none"])),
    "with data: correct scales and biases for the quantization error",
    {
      value: "how",
      group: accuracyGroup,
      meanings: {
        title: "Bias correction (--bias-correction)",
        rows: [
          ["full", "layer by layer, on activations of the already corrected model"],
          ["none", "scales and biases stay (default for weights of 3 bits or more that gptaq rounds)"],
        ],
      },
    },
  ),
  /** Calibration data or its path, for the static scheme and rounding methods that need samples. The train split is used if there is one. */
  data: option(datasetOption, "calibration data; for a path, its train part if it has one", { value: "path" }),
  /** Number of calibration samples (200). */
  samples: withHelp(v.optional(countOption, 200), "number of calibration samples", { value: "n" }),
  /** Runtimes of the result: a format that one of them cannot run in any version is not written. The pass does not run them. */
  target: v.optional(targetOption("runtimes that must run the result; each is checked against the original")),
});

/** The options as written on the command line and in recipes: one flat object, with defaults. */
export type FlatOptions = v.InferOutput<typeof schema>;

export const quantizeOptions = v.pipe(
  schema,
  v.check(
    ({ scheme, dtype }) => (scheme === undefined) !== (dtype === undefined),
    "give exactly one of `scheme` and `dtype`",
  ),
  checkWith(settingsOfSteps),
);

export type QuantizeOptions = v.InferInput<typeof quantizeOptions> & LayerSelection;

/** The static scheme and some rounding methods need calibration samples. */
export const calibrationNeed = {
  when: ({ scheme, rounder }: OptionValues) =>
    scheme === "static"
      ? "the ranges of activations are measured on samples"
      : rounders.looksAtSamples(rounder)
        ? "the rounding method uses layer inputs"
        : undefined,
  helps: (options: OptionValues) => reconstructsOutputs(options),
  textHelps: (options: OptionValues) => {
    const { scheme, bits } = withDtype(options);
    return (scheme === "dynamic" && !isLowEntropy(options)) || (reconstructsOutputs(options) && bits === 4);
  },
};

/** Work per calibration sample in forward runs (measured on image networks, one thread): ranges, equalization and bias correction; and reconstruction. */
const [rangeRuns, reconstructionRuns] = [35, 140];

export const runsPerSample = (options: OptionValues): number =>
  reconstructsOutputs(options) || rounders.looksAtSamples(options.rounder)
    ? reconstructionRuns
    : options.scheme === "static"
      ? rangeRuns
      : 0;

/** Returns the options for one dtype of a command that quantizes to several dtypes. */
export function optionsOfDtype<O extends OptionValues>(dtype: DtypeName, options: O): O {
  const { scheme } = stepsOfDtype(dtype, options.target)[0];
  const excludedNames = withoutMethod([dtype], options).length > 0 ? lowEntropyOptions : [];
  return Object.fromEntries(
    Object.entries(options).filter(([name]) => hasOption(scheme, name) && !excludedNames.includes(name)),
  ) as O;
}

const lowEntropyOptions: readonly string[] = ["rounder", "distortion"];

const withoutMethod = (names: readonly DtypeName[], options: OptionValues): readonly DtypeName[] =>
  isLowEntropy(options) ? names.filter((dtype) => !admitsLowEntropy({ dtype, target: options.target })) : [];

/** Returns the dtypes that do not admit requested low-entropy values. @throws PithError E_OPTION if none of the dtypes admits them. */
export function withoutLowEntropy(names: readonly DtypeName[], options: OptionValues): readonly DtypeName[] {
  const excluding = withoutMethod(names, options);
  if (excluding.length === 0 || excluding.length < names.length) return excluding;
  throw optionError(
    `quantize: \`rounder\`: rdoq is for the dtypes q8, int8 and uint8, and not for q8 with the target webgpu alone, got ${names.join(", ")}.`,
    { hint: "Add int8, or omit the rounding method." },
  );
}
