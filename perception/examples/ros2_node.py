"""A ROS 2 node: images in, vision_msgs/Detection2DArray with the image's own header out.

python -m oneglance.perception.examples.ros2_node --ros-args -r image:=/camera/image_raw
Parameters: model, engine, tasks ("car,sign"), compressed (true: CompressedImage), budget (ms).
Needs pip install "oneglance[mcap]", and ROS 2 with vision_msgs on Python 3.11+ and numpy 2 (see
Dockerfile.ros2). rclpy is in no registry: perception.ros_node is tested, this is not.
"""

from __future__ import annotations

import sys
import threading

from oneglance.models import Detector
from oneglance.models.tasks import parse_tasks
from oneglance.perception import Pipeline, Tracker
from oneglance.perception import ros_node as ros
from oneglance.perception.ros_messages import ARRAY, Header


def main() -> None:
    try:
        import rclpy
        from rclpy.qos import qos_profile_sensor_data as newest
    except ModuleNotFoundError as error:
        sys.exit(f"ros2_node needs ROS 2 ({error}): source its setup.bash first")
    rclpy.init()
    node = rclpy.create_node("oneglance")
    asked = {"model": "road4-n", "engine": "onnxruntime", "tasks": "", "compressed": False}
    of = {name: node.declare_parameter(name, value).value for name, value in asked.items()}
    budget = node.declare_parameter("budget", 0.0).value or None
    kind = ros.COMPRESSED if of["compressed"] else ros.IMAGE
    images = ros.RosImages(node.resolve_topic_name("image"), kind)
    boxes = node.create_publisher(ros.message_class(ARRAY), "detections", 1)
    diagnostics_out = node.create_publisher(ros.message_class(ros.DIAGNOSTICS), "/diagnostics", 1)
    tasks = parse_tasks(of["tasks"].split(",")) if of["tasks"] else None
    detector = Detector.load(of["model"], engine=of["engine"], tasks=tasks)
    sinks = [ros.RosPublisher(boxes.publish, ros.make_message)]
    loop = Pipeline(images, detector, mode="live", sinks=sinks, tracker=Tracker(), budget_ms=budget)
    node.create_subscription(ros.message_class(kind), "image", images.offer, newest)

    def publish_diagnostics() -> None:
        now = Header(node.get_clock().now().nanoseconds, "")
        diagnostics_out.publish(ros.diagnostics(loop.health(), images, now, ros.make_message))

    def run() -> None:
        try:
            loop.run()
        finally:  # a loop that fails ends the node
            rclpy.try_shutdown()

    node.create_timer(1.0, publish_diagnostics)
    threading.Thread(target=run).start()
    with images:
        rclpy.spin(node)


if __name__ == "__main__":
    main()
