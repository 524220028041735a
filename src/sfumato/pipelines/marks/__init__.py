"""Pictures that say they were made by a machine: metadata always; a watermark and signed credentials on request."""
