/** Elementwise logical and bitwise operators. They have no derivatives. */
import { Miss } from "../errors.ts";
import { defineOp, type Op } from "./define.ts";
import { elementType, integer, text } from "./shared/attributes.ts";
import { binary, unary } from "./shared/elementwise.ts";
import { need, sameAxes } from "./shared/rules.ts";

const flat = new Miss("is constant almost everywhere");
const whole = new Miss("computes integers");

export const BitCast = defineOp({
  name: "BitCast",
  needsFloat32: () => "it reinterprets the bits of float32",
  read: (site) => {
    const to = elementType(site, "to");
    return to === undefined ? new Miss("casts to a type that is not known") : { to };
  },
  infer: (s, site) => [{ type: s.to, dims: need(site, 0).dims }],
  unchanged: (s, site) => (site.inputs[0]?.type === s.to ? 0 : undefined),
  axes: (_, __, dims) => sameAxes(dims),
  gradient: new Miss("reinterprets bits"),
  quantize: new Miss("reinterprets bits"),
});

export const logicOperators: readonly Op[] = [
  binary({
    name: "And",
    derivatives: flat,
    type: "bool",
    neutral: { left: 1, right: 1 },
    onDims: (a, b) => (a === 0 || b === 0 ? 0 : a === 1 && b === 1 ? 1 : undefined),
  }),
  binary({
    name: "Or",
    derivatives: flat,
    type: "bool",
    neutral: { left: 0, right: 0 },
    onDims: (a, b) => (a === 1 || b === 1 ? 1 : a === 0 && b === 0 ? 0 : undefined),
  }),
  binary({
    name: "Xor",
    derivatives: flat,
    type: "bool",
    neutral: { left: 0, right: 0 },
    onDims: (a, b) => (typeof a === "number" && typeof b === "number" ? (a === b ? 0 : 1) : undefined),
  }),
  unary({ name: "Not", derivative: flat, onDims: (a) => (a === 0 ? 1 : a === 1 ? 0 : undefined) }),
  unary({ name: "IsNaN", derivative: flat, type: "bool" }),
  unary<{ readonly negative: boolean; readonly positive: boolean }>({
    name: "IsInf",
    read: (site) => ({
      negative: integer(site, "detect_negative", 1) !== 0,
      positive: integer(site, "detect_positive", 1) !== 0,
    }),
    derivative: flat,
    type: "bool",
  }),
  binary({ name: "BitwiseAnd", derivatives: whole }),
  binary({ name: "BitwiseOr", derivatives: whole, neutral: { left: 0, right: 0 } }),
  binary({ name: "BitwiseXor", derivatives: whole, neutral: { left: 0, right: 0 } }),
  unary({ name: "BitwiseNot", derivative: whole }),
  binary<{ readonly direction: string }>({
    name: "BitShift",
    read: (site) => ({ direction: text(site, "direction", "") }),
    derivatives: whole,
    neutral: { right: 0 },
  }),
];
