/** Reads the budgets of `pith check`: limits for each model of a repository. */
import * as v from "valibot";
import { isObject } from "#ir";
import { checkWith, countOption, parseSize, positiveOption, problemOf, sizeOption, wording } from "#pass";
import { parsePreprocessingSpec } from "../../../../data/sidecars/preprocessing-spec.ts";
import { withShares } from "../../../../judge/recipe/check-recipe.ts";
import { fail, readYaml, requireShallow, type YamlText } from "../../../../judge/recipe/yaml-source.ts";
import { namedMetrics } from "../../../../judge/task/named-metrics.ts";
import { targetNames } from "../../../../runtime/run/run-target.ts";
import { describeAnyLoss } from "../../flags/meaningful-drop.ts";
import { metricNames } from "../../flags/metrics.ts";

const sizeSchema = v.pipe(
  v.union([v.pipe(v.number(), v.minValue(1)), sizeOption], "takes bytes, or a size such as 310kB"),
  v.transform((value) => (typeof value === "number" ? value : parseSize(value))),
);

const amountSchema = v.pipe(v.number("takes a number, or a share such as 1%"), v.minValue(0));

const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/i, "takes the SHA-256 of the file: 64 hexadecimal digits"));

const modelSchema = v.strictObject({
  /** An ONNX file, or a folder whose ONNX files all have these budgets. */
  model: v.string(),
  /** The original: a file, or a folder with files of the same paths. */
  original: v.optional(
    v.union([v.string(), v.strictObject({ file: v.string(), sha256 })], "takes a path, or { file, sha256 }"),
  ),
  bytes: v.optional(sizeSchema),
  /** Bytes after brotli. */
  download: v.optional(sizeSchema),
  data: v.optional(v.string()),
  preprocess: v.optional(v.pipe(v.string(), checkWith(parsePreprocessingSpec))),
  samples: v.optional(countOption),
  metric: v.optional(v.picklist(metricNames), "accuracy"),
  /** Largest drop of the metric. */
  drop: v.optional(amountSchema),
  /** Smallest share of samples with the original's prediction. */
  agreement: v.optional(
    v.pipe(
      amountSchema,
      v.gtValue(0, "takes a share above 0%: every model reaches 0%"),
      v.maxValue(1, "takes a share such as 97%"),
      v.ltValue(1, "takes a share below 100%: no number of samples shows that nothing differs"),
    ),
  ),
  /** Smallest ratio of the original's processor time to the model's. */
  speed: v.optional(positiveOption),
  runtimes: v.optional(v.pipe(v.array(v.picklist(targetNames)), v.nonEmpty("takes at least one runtime"))),
});

const budgetsSchema = v.strictObject({
  version: v.optional(v.literal(1), 1),
  models: v.pipe(v.array(modelSchema), v.minLength(1, "takes at least one model")),
});

export type Budgets = v.InferOutput<typeof modelSchema>;

/** Budgets that compare a model with its original. */
const comparisonBudgets = ["drop", "agreement", "speed", "runtimes"] as const;
/** Budgets that need samples. */
const sampleBudgets = ["drop", "agreement"] as const;
const limitNames = ["bytes", "download", ...comparisonBudgets] as const;

/** Reads budgets from YAML, or from package.json. @throws PithError E_OPTION with line, column and accepted values. */
export function parseBudgets(text: string, name: string): readonly Budgets[] {
  const source = readYaml(text, name);
  const inPackage = /(^|[/\\])package\.json$/.test(name);
  const path = inPackage ? ["pith", "check"] : [];
  return checkBudgets(source, path);
}

function checkBudgets(source: YamlText, path: readonly string[]): readonly Budgets[] {
  requireShallow(source);
  let data = withShares(source.data);
  for (const key of path) data = isObject(data) ? data[key] : undefined;
  const result = v.safeParse(budgetsSchema, data, wording);
  if (!result.success) {
    const misfit = problemOf(budgetsSchema, result.issues, "the check");
    fail(source, [...path, ...misfit.path], misfit.part, misfit.sentence, misfit.hint);
  }
  const { models } = result.output;
  for (const [index, budgets] of models.entries()) {
    const at = [...path, "models", index];
    const firstOf = (names: readonly (keyof Budgets)[]) => names.find((name) => budgets[name] !== undefined);
    const [compared, measured] = [firstOf(comparisonBudgets), firstOf(sampleBudgets)];
    if (firstOf(limitNames) === undefined)
      fail(source, at, "value", `"${budgets.model}" has no budget: ${limitNames.join(", ")}`);
    if (compared !== undefined && budgets.original === undefined)
      fail(source, [...at, compared], "key", `"${compared}" needs "original": it compares the model with its original`);
    const isUnprovable = budgets.drop === 0 && namedMetrics[budgets.metric]({}).unit === "share";
    const unprovable = isUnprovable ? "no number of samples shows that nothing is lost: write 0.5%" : undefined;
    const unusable = describeAnyLoss(budgets.drop, budgets.metric) ?? unprovable;
    if (unusable !== undefined) fail(source, [...at, "drop"], "value", unusable);
    if (measured !== undefined && budgets.data === undefined)
      fail(source, [...at, measured], "key", `"${measured}" needs "data": it is measured on samples`);
  }
  return models;
}
