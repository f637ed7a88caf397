/** Means over a window that moves along, with bands that say how sure they are. */

export interface Band {
  mean: number[];
  low: number[];
  high: number[];
}

const Z = 1.96;

/** The mean of the latest values with a 95 % band by its standard error; wide where values are few. */
export function rollingMean(values: number[], window: number): Band {
  const band: Band = { mean: [], low: [], high: [] };
  for (let end = 1; end <= values.length; end++) {
    const latest = values.slice(Math.max(0, end - window), end);
    const mean = average(latest);
    const spread = average(latest.map((value) => (value - mean) ** 2));
    const error = latest.length > 1 ? Z * Math.sqrt(spread / (latest.length - 1)) : mean;
    push(band, mean, Math.max(0, mean - error), mean + error);
  }
  return band;
}

/** The share of the latest that are true, with Wilson's 95 % band. */
export function rollingShare(values: boolean[], window: number): Band {
  const band: Band = { mean: [], low: [], high: [] };
  for (let end = 1; end <= values.length; end++) {
    const latest = values.slice(Math.max(0, end - window), end);
    const n = latest.length;
    const share = latest.filter(Boolean).length / n;
    const centre = (share + Z ** 2 / (2 * n)) / (1 + Z ** 2 / n);
    const half = (Z / (1 + Z ** 2 / n)) * Math.sqrt((share * (1 - share)) / n + Z ** 2 / (4 * n * n));
    push(band, share, Math.max(0, centre - half), Math.min(1, centre + half));
  }
  return band;
}

function push(band: Band, mean: number, low: number, high: number): void {
  band.mean.push(mean);
  band.low.push(low);
  band.high.push(high);
}

function average(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
