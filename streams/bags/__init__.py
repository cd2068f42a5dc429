"""Bags: camera topics of MCAP files, rosbag2 folders and ROS 1 bags (the extra ``mcap``)."""
