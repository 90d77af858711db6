import { expect, test } from "vitest";
import type { LayerRow } from "../../judge/fallback/layer-table.ts";
import { drawLayerErrors } from "./debug.ts";

const layerWith = (layer: string, own: number | undefined, signalToNoise: number): LayerRow => ({
  layer,
  own,
  signalToNoise,
  kind: "layer",
  operator: "Conv",
  share: undefined,
  hidden: [],
});

test("draws a bar for each layer, also for ratios that are not finite, and marks the one that dominates", () => {
  const layers = [
    layerWith("<first>", 20, 20),
    layerWith("broken", Number.NEGATIVE_INFINITY, Number.NaN),
    layerWith("equal", undefined, Number.POSITIVE_INFINITY),
  ];
  const blamed = { layers: ["broken"], kind: "layer", operator: "Conv", share: Number.POSITIVE_INFINITY } as const;
  const svg = drawLayerErrors({ layers, blamed }, 360);
  expect(svg).toContain('viewBox="0 0 360 320"');
  expect(svg).not.toMatch(/NaN|Infinity/);
  expect(svg.match(/<rect class="(own|blamed)"/g)).toEqual([
    '<rect class="own"',
    '<rect class="blamed"',
    '<rect class="own"',
  ]);
  expect(svg).toContain("<title>&#60;first&#62; (Conv): alone 20.0 dB, with all before 20.0 dB</title>");
  expect(svg).toContain("<title>broken (Conv): alone not finite, with all before not finite</title>");
});
