// Drawing boxes and plots; knows no network.

export const COLOURS = {
  pedestrian: "rgb(255, 110, 0)",
  car: "rgb(111, 208, 255)",
  sign: "rgb(255, 230, 0)",
  light: "rgb(204, 121, 167)",
};
const INK = "rgb(16, 16, 16)";

export function isShown(found, tasks, confidence) {
  return tasks.has(found.task) && found.confidence >= confidence;
}

export function labelOf(found) {
  const track = found.track_id === null ? "" : ` #${found.track_id}`;
  return `${found.class} ${found.confidence.toFixed(2)}${track}`;
}

// The image, and the boxes of the same frame over it. Lines and text keep their size on the
// screen, however small the image is shown.
export function drawFrame(canvas, image, facts, tasks, confidence) {
  if (canvas.width !== image.width || canvas.height !== image.height) {
    canvas.width = image.width;
    canvas.height = image.height;
  }
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const scale = image.width / facts.width;
  // The image is shown as large as fits, with bars beside it where its shape is another.
  const { clientWidth: wide, clientHeight: high } = canvas;
  const pixel = wide && high ? Math.max(canvas.width / wide, canvas.height / high) : 1;
  const shown = facts.detections.filter((found) => isShown(found, tasks, confidence));
  const area = ({ xyxy: [left, top, right, bottom] }) => (right - left) * (bottom - top);
  shown.sort((one, other) => area(other) - area(one));
  for (const found of shown) drawBox(context, found, scale, pixel);
  const taken = [];
  for (const found of shown) drawLabel(context, found, scale, pixel, taken);
  return shown.length;
}

function drawBox(context, found, scale, pixel) {
  const [left, top, right, bottom] = found.xyxy.map((value) => value * scale);
  context.lineJoin = "round";
  context.setLineDash(found.predicted ? [7 * pixel, 5 * pixel] : []); // where it is expected
  for (const [colour, width] of [[INK, 4], [COLOURS[found.task], 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = width * pixel;
    context.strokeRect(left, top, right - left, bottom - top);
  }
  context.setLineDash([]);
}

// Above its box, or below or inside where another label is in the way, and shorter where all of it
// has no room; a label that would hide another is left out, the box stays.
function drawLabel(context, found, scale, pixel, taken) {
  const [left, top, , bottom] = found.xyxy.map((value) => value * scale);
  const { width: right, height: low } = context.canvas;
  context.font = `600 ${12 * pixel}px system-ui, sans-serif`;
  const height = 16 * pixel;
  for (const text of [labelOf(found), found.class]) {
    const width = context.measureText(text).width + 8 * pixel;
    const x = Math.max(0, Math.min(left - pixel, right - width));
    for (const y of [top - height, bottom, top]) {
      const place = { x, y, right: x + width, bottom: y + height };
      if (y < 0 || place.bottom > low || taken.some((other) => overlap(place, other))) continue;
      taken.push(place);
      context.fillStyle = COLOURS[found.task];
      context.fillRect(x, y, width, height);
      context.fillStyle = INK;
      context.textBaseline = "middle";
      context.fillText(text, x + 4 * pixel, y + height / 2);
      return;
    }
  }
}

function overlap(one, other) {
  return one.x < other.right && other.x < one.right && one.y < other.bottom && other.y < one.bottom;
}

// Ages in milliseconds, the newest at the right.
export function drawPlot(canvas, ages) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width) return;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  const sorted = ages.toSorted((one, other) => one - other);
  const usual = sorted[Math.floor(sorted.length * 0.95)] ?? 0; // a single late one is cut off
  const top = niceTop(Math.max(1.3 * usual, 10));
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = style.getPropertyValue("--quiet");
  context.textBaseline = "top";
  context.fillText(`age, ${top} ms`, 14, 4);
  context.strokeStyle = style.getPropertyValue("--accent");
  context.lineWidth = 1.5;
  context.beginPath();
  ages.forEach((age, index) => {
    const x = width - (ages.length - 1 - index) * (width / 240);
    context.lineTo(x, height - 3 - (Math.min(age, top) / top) * (height - 8));
  });
  context.stroke();
}

function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}
