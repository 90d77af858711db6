/**
 * ScatterElements, ScatterND, and Scatter (before opset 11). Without reduction, replaced data gets no gradient. With "add", data and updates get it.
 * If several updates replace the same position, the result is undefined, and each gets the full gradient.
 */
import { addDims, type Dim, extremeDims, Miss, multiplyDims, toNumbers, type Value } from "#graph";
import { type AxisLink, defineOp, type InputRange, type Op, type Operand, type Site } from "./define.ts";
import { readInteger, readString, wrapAxis } from "./shared/attributes.ts";
import { exactElements, withElements } from "./shared/elements.ts";
import { inferenceOnly } from "./shared/misses.ts";
import {
  dimsAt,
  fillWith,
  forwardWanted,
  requirePositions,
  requireTuples,
  sameAsInput,
  sizesOf,
  typeOf,
} from "./shared/shapes.ts";

type Name = "ScatterElements" | "ScatterND";

interface Settings {
  readonly reduction: string;
  readonly axis: number;
}

function indicesOf(operand: Operand | undefined): readonly number[] | undefined {
  const { elements, small } = operand ?? {};
  if (elements?.every((element) => typeof element === "number")) return elements as readonly number[];
  return small?.type === "int64" || small?.type === "int32" ? toNumbers(small) : undefined;
}

const combineFunctions: Readonly<Record<string, (old: Dim, update: Dim) => Dim>> = {
  none: (_, update) => update,
  add: addDims,
  mul: multiplyDims,
  max: (old, update) => extremeDims("max", [old, update]),
  min: (old, update) => extremeDims("min", [old, update]),
};

function inferScatter(site: Site, reduction: string): readonly Dim[] | undefined {
  const [data, indices, updates] = site.inputs;
  const targets = indicesOf(indices);
  const combineElement = combineFunctions[reduction];
  const [initialElements, updateElements] = [exactElements(data), exactElements(updates)];
  if (
    data?.dims?.length !== 1 ||
    !initialElements ||
    !updateElements ||
    targets === undefined ||
    combineElement === undefined
  )
    return undefined;
  const elements = [...initialElements];
  for (const [position, target] of targets.entries()) {
    const index = target < 0 ? target + elements.length : target;
    const [previous, update] = [elements[index], updateElements[position]];
    if (previous === undefined || update === undefined) return undefined;
    elements[index] = combineElement(previous, update);
  }
  return elements;
}

function scatterLinks(name: Name, s: Settings, site: Site, dims: readonly Dim[]): readonly AxisLink[] | Miss {
  const [indices, updates] = [dimsAt(site, 1), dimsAt(site, 2)];
  if (indices instanceof Miss) return indices;
  if (updates instanceof Miss) return updates;
  const tupleLength = indices.at(-1);
  if (name === "ScatterND" && typeof tupleLength !== "number")
    return new Miss("the length of its index tuples is not known");
  const firstAxis = name === "ScatterElements" ? wrapAxis(s.axis, dims.length) : 0;
  return dims.flatMap((dim, axis): AxisLink[] => {
    const isWrittenByPosition =
      name === "ScatterND" ? axis < Number(tupleLength) : axis === firstAxis || indices[axis] !== dim;
    if (isWrittenByPosition) return [{ refuses: ["in0", axis], reason: `${name} writes by position along this axis` }];
    const update = name === "ScatterND" ? updates.length - dims.length + axis : axis;
    const links: AxisLink[] = [
      { from: ["in0", axis], to: ["out0", axis] },
      { from: ["in2", update], to: ["out0", axis] },
    ];
    return name === "ScatterND" ? links : [...links, { from: ["in1", axis], to: ["out0", axis] }];
  });
}

function wantedIndicesOf(s: Settings, site: Site): readonly InputRange[] {
  const dims = site.inputs[0]?.dims;
  return dims === undefined ? [] : requirePositions(1, dims[wrapAxis(s.axis, dims.length)]);
}

function requiredTuples(site: Site): readonly InputRange[] {
  const tupleLength = site.inputs[1]?.dims?.at(-1);
  return typeof tupleLength === "number" ? requireTuples(site.inputs[0]?.dims?.slice(0, tupleLength) ?? []) : [];
}

function defineScatter(name: Name): Op {
  return defineOp<Settings>({
    name,
    needsFloat32: ({ attributes }) =>
      (attributes.get("reduction")?.value ?? "none") === "none"
        ? undefined
        : "ONNX Runtime has no kernel for it in float16 that combines numbers",
    read: (site) => ({ reduction: readString(site, "reduction", "none"), axis: readInteger(site, "axis", 0) }),
    infer: ({ reduction }, site) =>
      sameAsInput(site).map((inferred) => withElements(inferred, inferScatter(site, reduction))),
    wants: (s, site, output) => [
      ...(name === "ScatterElements" ? wantedIndicesOf(s, site) : requiredTuples(site)),
      ...forwardWanted(output, 0, 2),
    ],
    axes: (s, site, dims) => scatterLinks(name, s, site, dims),
    gradient: ({ reduction, axis }, { emit, inputs: [, indices, updates], up, wanted }) => {
      if (reduction !== "none" && reduction !== "add") return inferenceOnly;
      const axisAttribute = name === "ScatterElements" ? { axis } : {};
      const zeros = (): Value => fillWith(emit, typeOf(up), sizesOf(updates), 0);
      const updateGradient =
        name === "ScatterElements" ? emit.GatherElements([up, indices], axisAttribute) : emit.GatherND([up, indices]);
      return [
        wanted(0) && reduction === "none" ? emit[name]([up, indices, zeros()], axisAttribute) : up,
        undefined,
        wanted(2) ? updateGradient : undefined,
      ];
    },
  });
}

export const Scatter = defineOp<Settings>({
  name: "Scatter",
  read: (site) => ({ reduction: "none", axis: readInteger(site, "axis", 0) }),
  infer: (_, site) => sameAsInput(site).map((inferred) => withElements(inferred, inferScatter(site, "none"))),
  wants: (s, site, output) => [...wantedIndicesOf(s, site), ...forwardWanted(output, 0, 2)],
  axes: (s, site, dims) => scatterLinks("ScatterElements", s, site, dims),
  lower: (s, emit, inputs) => [emit.ScatterElements(inputs, { axis: s.axis })],
});

export const scatterOperators: readonly Op[] = [defineScatter("ScatterElements"), defineScatter("ScatterND")];
