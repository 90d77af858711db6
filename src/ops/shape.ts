/** Shapes, constants and types as values: Shape, Size, Constant, ConstantOfShape, Cast, CastLike. */
import { Miss } from "../errors.ts";
import { isFloat, toNumbers } from "../tensor/convert.ts";
import { float32, int64 } from "../tensor/dense.ts";
import type { Dim } from "../tensor/dims.ts";
import type { DataType, Dense } from "../tensor/types.ts";
import { elementType, integer } from "./attributes.ts";
import { alwaysChanges, defineOp, type Inferred, noParameters, type Op, type Site } from "./define.ts";
import { withElements } from "./elements.ts";
import { dimsAt, need, noMacs, product, sameAxes } from "./rules.ts";

const none = new Miss("has no weight");
const primitive = new Miss("is primitive");
const constant = new Miss("does not depend on its input's elements");
const float = new Miss("runs in float");

/** Since opset 15 a range of axes may be asked for. */
const Shape = defineOp<{ readonly start: number; readonly end: number }>({
  name: "Shape",
  read: (site) => ({ start: integer(site, "start", 0), end: integer(site, "end", Number.MAX_SAFE_INTEGER) }),
  infer: (s, site) => {
    const dims = dimsAt(site, 0);
    if (dims instanceof Miss) return [{ type: "int64", dims: undefined }];
    const elements = dims.slice(s.start, s.end);
    return [{ type: "int64", dims: [elements.length], elements }];
  },
  unchanged: alwaysChanges,
  parameters: noParameters,
  weight: none,
  axes: new Miss("reports dimensions"),
  lower: primitive,
  gradient: constant,
  cost: noMacs,
  quantize: float,
});

const Size = defineOp<null>({
  name: "Size",
  read: () => null,
  infer: (_, site) => {
    const dims = dimsAt(site, 0);
    return [
      dims instanceof Miss ? { type: "int64", dims: [] } : { type: "int64", dims: [], elements: [product(dims)] },
    ];
  },
  unchanged: alwaysChanges,
  parameters: noParameters,
  weight: none,
  axes: new Miss("reports dimensions"),
  lower: primitive,
  gradient: constant,
  cost: noMacs,
  quantize: float,
});

/** What a stored tensor tells a rule: its type and dimensions, and the elements if it is small. */
export function storedFacts(type: DataType, dims: readonly number[], small: Dense | undefined): Inferred {
  if (small === undefined) return { type, dims };
  const integers = (small.type === "int64" || small.type === "int32") && small.dims.length <= 1;
  return integers ? { type, dims, small, elements: [...toNumbers(small)] } : { type, dims, small };
}

function constantFacts(site: Site): Inferred | Miss {
  const value = site.attribute("value");
  if (value?.kind === "tensor") return storedFacts(value.value.type, value.value.dims, value.value.small);
  const [float, floats, whole, wholes] = ["value_float", "value_floats", "value_int", "value_ints"].map((name) =>
    site.attribute(name),
  );
  const small =
    float?.kind === "float"
      ? float32([], [float.value])
      : floats?.kind === "floats"
        ? float32([floats.value.length], floats.value)
        : whole?.kind === "int"
          ? int64([], [whole.value])
          : wholes?.kind === "ints"
            ? int64([wholes.value.length], wholes.value)
            : undefined;
  return small === undefined
    ? new Miss("holds a constant of a kind that is not read")
    : storedFacts(small.type, small.dims, small);
}

const Constant = defineOp<Inferred>({
  name: "Constant",
  read: constantFacts,
  infer: (facts) => [facts],
  unchanged: alwaysChanges,
  parameters: noParameters,
  weight: none,
  axes: new Miss("is a constant"),
  lower: primitive,
  gradient: new Miss("is a constant"),
  cost: noMacs,
  quantize: float,
});

const ConstantOfShape = defineOp<{ readonly type: DataType; readonly value: Dense | undefined }>({
  name: "ConstantOfShape",
  read: (site) => {
    const value = site.attribute("value");
    return value?.kind === "tensor"
      ? { type: value.value.type, value: value.value.small }
      : { type: "float32", value: undefined };
  },
  infer: (s, site) => {
    // A scalar is asked for by a shape without elements, which even a shape that is fed says by its own dimensions.
    const [count] = site.inputs[0]?.dims ?? [];
    const dims = site.inputs[0]?.elements ?? (count === 0 ? [] : undefined);
    const inferred = { type: s.type, dims };
    const whole = s.type === "int64" || s.type === "int32" || s.type === "bool";
    const value = whole && s.value !== undefined ? toNumbers(s.value)[0] : undefined;
    const size = dims?.length === 0 ? 1 : dims?.[0];
    if (value === undefined || typeof size !== "number" || size > 64) return [inferred];
    return [withElements(inferred, new Array<number>(size).fill(value))];
  },
  unchanged: alwaysChanges,
  parameters: noParameters,
  weight: none,
  axes: new Miss("is a constant"),
  lower: primitive,
  gradient: constant,
  cost: noMacs,
  quantize: float,
});

function cast(name: "Cast" | "CastLike", target: (site: Site) => DataType | undefined): Op {
  return defineOp<{ readonly to: DataType }>({
    name,
    read: (site) => {
      const to = target(site);
      return to === undefined ? new Miss("casts to a type that is not known") : { to };
    },
    infer: (s, site) => {
      const { dims, elements } = need(site, 0);
      const whole = s.to === "int64" || s.to === "int32";
      return [
        elements === undefined || !whole
          ? { type: s.to, dims }
          : { type: s.to, dims, elements: elements as readonly Dim[] },
      ];
    },
    unchanged: (s, site) => (site.inputs[0]?.type === s.to ? 0 : undefined),
    parameters: noParameters,
    weight: none,
    axes: (_, site) => sameAxes(site),
    lower: primitive,
    gradient: (s, { emit, inputs: [x], upstream: [up], wanted }) => {
      if (x?.type === undefined || up === undefined || !wanted(0)) return [];
      if (!isFloat(x.type.type) || !isFloat(s.to)) return new Miss("rounds to integers");
      return [x.type.type === s.to ? up : emit.CastLike([up, x])];
    },
    cost: noMacs,
    quantize: float,
  });
}

export const shapeOperators: readonly Op[] = [
  Shape,
  Size,
  Constant,
  ConstantOfShape,
  cast("Cast", (site) => elementType(site, "to")),
  cast("CastLike", (site) => site.inputs[1]?.type),
];
