import { expect, test } from "vitest";
import { faults } from "../../../test/app/report/well-formed.ts";
import { pageMarkup } from "./markup.ts";
import { trainingChart } from "./training-chart.ts";

const curve = { first: 0, every: 4, losses: [0.9, 0.6, 0.3, 0.2, 0.1], by: "accuracy", unit: "share" } as const;
const history = [
  { epoch: 1, loss: 0.6, evaluations: [{ step: 0, figure: 0.5 }] },
  { epoch: 2, loss: 0.2, evaluations: [{ step: 20, figure: 0.9 }] },
];
const pathOf = (svg: string, name: string): number[][] =>
  (new RegExp(`class="${name}" d="([^"]*)"`).exec(svg)?.[1] ?? "")
    .split(/[ML]/)
    .filter((point) => point !== "")
    .map((point) => point.split(" ").map(Number));

test("draws the losses as a falling line and the evaluations as points", () => {
  const svg = trainingChart({ curve, history })?.markup ?? "";
  expect(svg).toContain("training loss 0.900 → 0.100 over 20 steps; validation accuracy 50.0 % → 90.0 %");
  const losses = pathOf(svg, "loss");
  expect(losses).toHaveLength(5);
  // On the page, y grows downwards, so falling losses have rising y.
  expect(losses.map(([, y = 0]) => y)).toEqual(losses.map(([, y = 0]) => y).toSorted((a, b) => a - b));
  const evaluated = pathOf(svg, "evaluated");
  expect(evaluated).toHaveLength(2);
  expect(evaluated[1]?.[0]).toBe(losses.at(-1)?.[0]);
  expect(evaluated[0]?.[1]).toBeGreaterThan(evaluated[1]?.[1] ?? 0);
  expect(svg.match(/<circle/g)).toHaveLength(2);
});

test("draws one line without evaluations, and skips losses that are not finite", () => {
  const svg =
    trainingChart({ curve: { first: 8, every: 2, losses: [1, Number.NaN, 0.5] }, history: undefined })?.markup ?? "";
  expect(svg).toContain("training loss 1.00 → 0.500 over 14 steps");
  expect(svg).not.toContain("evaluated");
  expect(svg).not.toContain("NaN");
  expect(pathOf(svg, "loss")).toHaveLength(2);
});

test("draws nothing without losses or with a single finite loss", () => {
  expect(trainingChart({ history })).toBeUndefined();
  expect(trainingChart({ curve: { first: 0, every: 1, losses: [0.5] }, history })).toBeUndefined();
  expect(trainingChart({ curve: { first: 0, every: 1, losses: [0.5, Number.NaN] }, history })).toBeUndefined();
});

test("a page with a training chart is well-formed", () => {
  expect(faults(pageMarkup({ title: "t", style: "", body: trainingChart({ curve, history }) ?? "" }))).toEqual([]);
});
