"""A FastMCP server with the skills of a folder, as its provider serves them (SEP-2640).

Usage: skills_server.py PORT NAME FOLDER
"""

import sys

from fastmcp import FastMCP
from fastmcp.skills.provider import SkillsDirectoryProvider

port, name, folder = sys.argv[1:]
FastMCP(name, providers=[SkillsDirectoryProvider(folder)]).run(
    transport="http", host="127.0.0.1", port=int(port), show_banner=False
)
