"""A page for people: tables, figures and a gallery of heat maps in one HTML file that needs no network."""

from equipoise.report.content import Cell as Cell
from equipoise.report.content import Figure as Figure
from equipoise.report.content import Picture as Picture
from equipoise.report.content import Report as Report
from equipoise.report.content import Table as Table
from equipoise.report.page import data_uri as data_uri
from equipoise.report.page import render as render
from equipoise.report.page import require as require
from equipoise.report.page import write as write
from equipoise.report.thumbnails import byte_limit as byte_limit
from equipoise.report.thumbnails import compact as compact
from equipoise.report.thumbnails import encoded_for_screen as encoded_for_screen
from equipoise.report.thumbnails import thumbnail as thumbnail
