/** Spreads labels (`channel-labels.ts`) along axis links until nothing changes. */

import { groupBy } from "#graph";
import { DisjointSets } from "../math/disjoint-sets.ts";
import { sizeAlong, type UnitLabels, type ValueAxis } from "./channel-labels.ts";
import { endKey, type Link } from "./channel-links.ts";

interface LinkRule {
  readonly links: readonly Link[];
}

/** Links from several axes of one operand to the same output axis, as for the axes that a Flatten merges. */
export interface Alternatives {
  readonly links: readonly Link[];
  /** The link along which units spread; undefined while each of them can apply. */
  chosen: Link | undefined;
}

export function findAlternatives(rules: readonly LinkRule[]): readonly Alternatives[] {
  return rules.flatMap(({ links }) =>
    [...groupBy(links, ({ from, to }) => `${from.port} ${endKey(to)}`).values()].map((set) => ({
      links: set,
      chosen: undefined,
    })),
  );
}

export function closedLinks(alternatives: readonly Alternatives[]): ReadonlySet<Link> {
  return new Set(
    alternatives.flatMap(({ links, chosen }) => (chosen === undefined ? [] : links.filter((link) => link !== chosen))),
  );
}

/**
 * Spreads units along links. A unit at index i of `from` spreads forward to the indices images(i) of `to`, and backward if all of images(i) have it.
 * If no link of a set of alternatives allows the step backward, the units within each images(i) of one link merge.
 */
export function spread(rules: readonly LinkRule[], labels: UnitLabels, alternatives = findAlternatives(rules)): void {
  const excludedLinks = closedLinks(alternatives);
  const openLinks = rules.flatMap(({ links }) =>
    links.filter((link) => !excludedLinks.has(link) && (link.hasImages || !labels.tie(link.from, link.to))),
  );
  for (const part of independentParts(openLinks, alternatives, labels)) spreadPart(part, labels);
}

interface IndependentLinks {
  readonly links: Link[];
  readonly alternatives: Alternatives[];
}

/** Splits links into parts without common axes, so that a merge does not require a sweep over the other parts. */
function independentParts(
  links: readonly Link[],
  alternatives: readonly Alternatives[],
  labels: UnitLabels,
): Iterable<IndependentLinks> {
  const sets = new DisjointSets();
  const numbers = new Map<object, number>();
  const numberOf = (end: ValueAxis): number | undefined => {
    const identity = labels.identityOf(end);
    if (identity === undefined) return undefined;
    const number = numbers.get(identity) ?? sets.add();
    numbers.set(identity, number);
    return number;
  };
  for (const { from, to } of links) {
    const [a, b] = [numberOf(from), numberOf(to)];
    if (a !== undefined && b !== undefined) sets.join(a, b);
  }
  const parts = new Map<number, IndependentLinks>();
  const partOf = ({ to }: Link): IndependentLinks | undefined => {
    const number = numberOf(to);
    if (number === undefined) return undefined;
    const part = parts.get(sets.find(number)) ?? { links: [], alternatives: [] };
    parts.set(sets.find(number), part);
    return part;
  };
  for (const link of links) partOf(link)?.links.push(link);
  for (const set of alternatives) {
    const [link] = set.links;
    if (link !== undefined) partOf(link)?.alternatives.push(set);
  }
  return parts.values();
}

function spreadPart({ links, alternatives }: IndependentLinks, labels: UnitLabels): void {
  const backwards = links.toReversed();
  const countsAtLastSpread = new Map<Link, LabelCounts>();
  do {
    let hasChanged: boolean;
    do {
      const before = labels.changeCount;
      for (const link of links) spreadIfChanged(link, labels, countsAtLastSpread);
      for (const link of backwards) spreadIfChanged(link, labels, countsAtLastSpread);
      hasChanged = labels.changeCount !== before;
    } while (hasChanged);
    // Joins one set of alternatives at a time, because one merge can make the next unnecessary.
  } while (alternatives.some((set) => joinAlternatives(set, labels)));
}

interface LabelCounts {
  readonly changeCount: number;
  readonly mergeCount: number;
}

/** Spreads units along a link, unless nothing changed since the last time. */
function spreadIfChanged(link: Link, labels: UnitLabels, countsAtLastSpread: Map<Link, LabelCounts>): void {
  const { from, to, hasImages } = link;
  const last = countsAtLastSpread.get(link);
  const lastChanges = last?.changeCount ?? -1;
  const isUnchanged = labels.lastChangeOf(from) <= lastChanges && labels.lastChangeOf(to) <= lastChanges;
  if (isUnchanged && (!hasImages || labels.mergeCount === last?.mergeCount)) return;
  countsAtLastSpread.set(link, { changeCount: labels.changeCount, mergeCount: labels.mergeCount });
  spreadAlong(link, labels);
}

function spreadAlong(link: Link, labels: UnitLabels): void {
  const { from, to } = link;
  const start = labels.unitsAt(from);
  // Images need memory, so they are computed only for axes that units have reached.
  if (start === undefined && labels.unitsAt(to) === undefined) return;
  const { images } = link;
  if (start !== undefined) labels.assignUnits(to, start.length, (index) => start[index] ?? -1, images);
  const end = labels.unitsAt(to);
  const size = sizeAlong(from);
  if (end === undefined || size === undefined || from.value === undefined) return;
  const unitAt = (index: number): number =>
    images === undefined ? (end[index] ?? -1) : labels.commonUnit(end, images[index] ?? []);
  labels.assignUnits(from, size, unitAt);
}

/** Merges the units of each image of a link if no alternative allows a step backward. Returns whether any merged. */
function joinAlternatives({ links, chosen }: Alternatives, labels: UnitLabels): boolean {
  const link = chosen ?? links[0];
  const end = link && labels.unitsAt(link.to);
  if (end === undefined || link?.images === undefined) return false;
  const isCovered = new Uint8Array(end.length);
  for (const { images = [] } of chosen === undefined ? links : [chosen])
    images.forEach((image) => {
      if (labels.commonUnit(end, image) < 0) return;
      for (let index = 0; index < image.length; index++) isCovered[image[index] ?? 0] = 1;
    });
  let hasJoined = false;
  link.images.forEach((image) => {
    const uncoveredPosition = image.find((position) => (end[position] ?? -1) >= 0 && isCovered[position] === 0);
    const unit = uncoveredPosition === undefined ? undefined : end[uncoveredPosition];
    if (unit === undefined) return;
    labels.assignUnits(link.to, 1, () => unit, [image]);
    hasJoined = true;
  });
  return hasJoined;
}
