/** ai.onnx.ml operators that scikit-learn exporters write. Scaler and Normalizer always return float32. */
import { Miss } from "../errors.ts";
import { multiplyDims } from "../tensor/dims.ts";
import type { DataType } from "../tensor/types.ts";
import type { Op, OpDef, Site } from "./define.ts";
import { inert } from "./shared/inert.ts";
import { shaped } from "./shared/rules.ts";

const learnt = new Miss("stores its parameters in attributes");

function preprocessing(name: string, infer: OpDef<null>["infer"] = (_, site) => shaped(site, (dims) => dims)): Op {
  return inert(learnt, { name, domain: "ai.onnx.ml", infer });
}

const floats = (_: unknown, site: Site) => shaped(site, (dims) => dims, "float32");

const labels: readonly (readonly [attribute: string, type: DataType])[] = [
  ["values_int64s", "int64"],
  ["values_floats", "float32"],
  ["values_strings", "string"],
];

export const mlOperators: readonly Op[] = [
  preprocessing("Scaler", floats),
  preprocessing("Normalizer", floats),
  preprocessing("Binarizer"),
  preprocessing("Imputer"),
  preprocessing("LabelEncoder", (_, site) => {
    const [, listed] = labels.find(([attribute]) => site.attribute(attribute) !== undefined) ?? [];
    const tensor = site.attribute("values_tensor");
    const type = tensor?.kind === "tensor" ? tensor.value.type : listed;
    return type === undefined ? new Miss("has no labels") : shaped(site, (dims) => dims, type);
  }),
  preprocessing("ArrayFeatureExtractor", (_, site) =>
    shaped(
      site,
      // One output per index, whatever the shape of the indices.
      (dims = [], picked = []) => [...(dims.length === 1 ? [1] : dims.slice(0, -1)), picked.reduce(multiplyDims, 1)],
      undefined,
      [0, 1],
    ),
  ),
];
